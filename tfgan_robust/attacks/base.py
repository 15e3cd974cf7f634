"""What an attack is to whoever runs it: a start, and steps.

An attack holds its settings alone. Everything that changes is a tuple of
tensors with one entry for each example, so that examples which are done can
make room for others in the middle of an attack.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.balls import NORMS
from tfgan_robust.networks.logits import LogitsFn

# Predicted where there was no answer: some logit was NaN.
NO_CLASS = -1


class Problem(NamedTuple):
    """What is attacked.

    Attributes:
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: int64 [batch].
        targets: int64 [batch], the class to be taken for, where an attack
            has targets.
        noise: Each float32 [batch, ...], what `Attack.draw` drew.
        eps: float32, the radius of the ball.
    """

    images: tf.Tensor
    labels: tf.Tensor
    targets: tf.Tensor
    noise: tuple[tf.Tensor, ...]
    eps: tf.Tensor


class Verdict(NamedTuple):
    """What an attack did to each example, so far.

    Attributes:
        fooled: bool [batch], not classified as labelled. A NaN among the
            logits is no right answer either.
        images: The first that fooled, else the last looked at.
        predicted: int64 [batch], their class; `NO_CLASS` for NaN.
    """

    fooled: tf.Tensor
    images: tf.Tensor
    predicted: tf.Tensor


class State(Protocol):
    """A named tuple of tensors [batch, ...] with at least these."""

    @property
    def step(self) -> tf.Tensor:
        """Advances so far, int32 [batch]."""

    @property
    def verdict(self) -> Verdict:
        """What is known so far."""


class Attack(Protocol):
    """The settings of an attack; hashable, so that it is compiled once."""

    @property
    def advances(self) -> int:
        """After so many calls of `advance` an example is done."""

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of the network in one advance."""

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the random numbers of one example, each float32."""

    def begin(self, problem: Problem) -> Any:
        """Returns the state before the first look at the network."""

    def advance(self, logits_fn: LogitsFn, problem: Problem, state: Any) -> Any:
        """Looks at the network once, and moves.

        Whoever calls it keeps the state of examples that are done, so that
        an example which is fooled comes no more.
        """


def no_verdict(images: tf.Tensor, labels: tf.Tensor) -> Verdict:
    """Returns the verdict before anything was looked at."""
    return Verdict(tf.zeros_like(labels, tf.bool), images, labels)


def judge(logits: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> Verdict:
    """Returns the verdict on images whose logits are known."""
    predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    broken = tf.reduce_any(tf.math.is_nan(logits), axis=-1)
    predicted = tf.where(broken, tf.cast(NO_CLASS, labels.dtype), predicted)
    return Verdict(tf.not_equal(predicted, labels), images, predicted)


def begin_in_ball(
    problem: Problem, norm: str = "linf", reach: float = 1.0
) -> tf.Tensor:
    """Returns images moved by the first of what the attack drew.

    Args:
        problem: Whose first noise is a point of the unit ball.
        norm: One of `balls.NORMS`.
        reach: Share of the radius by which they move at most.

    Returns:
        float32, shaped as `problem.images`, in the ball and [0, 1].
    """
    moved = problem.images + reach * problem.eps * problem.noise[0]
    return NORMS[norm].project(moved, problem.images, problem.eps)


def choose(
    condition: tf.Tensor, if_true: tf.Tensor, if_false: tf.Tensor
) -> tf.Tensor:
    """Takes whole examples from one of two tensors.

    Args:
        condition: bool [batch].
        if_true: [batch, ...], where the condition holds.
        if_false: Shaped alike, elsewhere.
    """
    if if_true.shape.rank == 1:
        return tf.where(condition, if_true, if_false)
    # As a matrix: broadcasting over more axes takes TensorFlow four times
    # as long.
    rows = tf.shape(condition)[0]
    chosen = tf.where(
        condition[:, tf.newaxis],
        tf.reshape(if_true, [rows, -1]),
        tf.reshape(if_false, [rows, -1]),
    )
    return tf.reshape(chosen, tf.shape(if_true))


def choose_each(condition: tf.Tensor, if_true: Any, if_false: Any) -> Any:
    """Takes whole examples from one of two states of the same structure."""
    return tf.nest.map_structure(
        lambda a, b: choose(condition, a, b), if_true, if_false
    )


def advance_active(
    attack: Attack, logits_fn: LogitsFn, problem: Problem, state: Any
) -> Any:
    """Advances the examples that are not done; the others stay as they are."""
    moved = attack.advance(logits_fn, problem, state)
    done = is_done(attack, state)
    return tf.cond(
        tf.reduce_any(done),
        lambda: choose_each(done, state, moved),
        lambda: moved,
    )


def is_done(attack: Attack, state: State) -> tf.Tensor:
    """Tells which examples need no more advances, bool [batch]."""
    return tf.logical_or(state.verdict.fooled, state.step >= attack.advances)


def draw_batch(
    attack: Attack,
    shape: tuple[int, int, int],
    seeds: list[tuple[int, ...]],
) -> tuple[np.ndarray, ...]:
    """Draws what an attack needs for several examples.

    Args:
        attack: The attack.
        shape: Height, width, channels.
        seeds: One for each example, which alone decides what it gets.
    """
    drawn = [
        attack.draw(np.random.default_rng(np.random.SeedSequence(seed)), shape)
        for seed in seeds
    ]
    return tuple(np.stack(parts) for parts in zip(*drawn, strict=True))
