"""What an attack is to whoever runs it: a start, and steps.

An attack holds its settings alone. Everything that changes is a tuple of
tensors with one entry for each example, so that examples which are done can
make room for others in the middle of an attack.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.result import AttackResult, choose
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
    """What is known of each example so far.

    Attributes:
        fooled: bool [batch].
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


def run_attack(
    attack: Attack, logits_fn: LogitsFn, problem: Problem
) -> AttackResult:
    """Runs an attack on one batch to its end.

    Args:
        attack: The attack.
        logits_fn: The classifier in inference mode.
        problem: The images, and what the attack drew for them.

    Returns:
        A fooling image where one was found, else the last looked at.
    """
    end = tf.while_loop(
        lambda state: tf.reduce_any(~is_done(attack, state)),
        lambda state: (advance_active(attack, logits_fn, problem, state),),
        (attack.begin(problem),),
    )[0]
    return AttackResult(end.verdict.images, end.verdict.fooled)


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
