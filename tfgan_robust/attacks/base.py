"""What an attack is to whoever runs it: a start, and steps.

An attack holds its settings alone. Everything that changes is a tuple of
tensors with one entry for each example, so that examples which are done can
make room for others in the middle of an attack.
"""

import abc
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks import l2, linf
from tfgan_robust.networks.logits import LogitsFn

# The balls that perturbations stay in.
NORMS: dict[str, ModuleType] = {"linf": linf, "l2": l2}
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
            logits is no correct answer either.
        images: The first that fooled, else the last looked at.
        predicted: int64 [batch], their class; `NO_CLASS` for NaN.
    """

    fooled: tf.Tensor
    images: tf.Tensor
    predicted: tf.Tensor


class State(NamedTuple):
    """Where an attack stands; each [batch, ...].

    An attack that needs to know more has a named tuple of its own, which
    begins with these.

    Attributes:
        step: Advances so far, int32.
        verdict: What is known so far.
        images: What is looked at next.
    """

    step: tf.Tensor
    verdict: Verdict
    images: tf.Tensor


class Attack(abc.ABC):
    """The settings of an attack.

    A subclass is a frozen dataclass, hashable, so that it is compiled once.
    Unless it says otherwise, an attack looks once at a point that is drawn
    uniformly from the ball, with one gradient.
    """

    @property
    def norm(self) -> str:
        """Of the ball, one of `NORMS`."""
        return "linf"

    @property
    def advances(self) -> int:
        """After so many calls of `advance` an example is done."""
        return 1

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of the network in one advance."""
        return 1, 1

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the random numbers of one example.

        Args:
            rng: Of the example alone.
            shape: Height, width, channels.

        Returns:
            Each float32; the first, if any, is the start, which broadcasts
            to a point of the unit ball.
        """
        return (NORMS[self.norm].draw(rng, shape),)

    def start(self, problem: Problem) -> tf.Tensor:
        """Returns where to begin: the images, moved by what was drawn first.

        Returns:
            float32, shaped as `problem.images`, in the ball and [0, 1].
        """
        if not problem.noise:
            return problem.images
        moved = problem.images + problem.eps * problem.noise[0]
        return NORMS[self.norm].project(moved, problem.images, problem.eps)

    def begin(self, problem: Problem) -> Any:
        """Returns the state before the first look at the network."""
        start = self.start(problem)
        verdict = Verdict(
            tf.zeros_like(problem.labels, tf.bool), start, problem.labels
        )
        return State(tf.zeros_like(problem.labels, tf.int32), verdict, start)

    @abc.abstractmethod
    def advance(self, logits_fn: LogitsFn, problem: Problem, state: Any) -> Any:
        """Looks at the network once, and moves.

        Whoever calls it keeps the state of examples that are done, so that
        an example which is fooled comes no more.
        """


def judge(logits: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> Verdict:
    """Returns the verdict on images whose logits are known."""
    predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    broken = tf.reduce_any(tf.math.is_nan(logits), axis=-1)
    predicted = tf.where(broken, tf.cast(NO_CLASS, labels.dtype), predicted)
    return Verdict(tf.not_equal(predicted, labels), images, predicted)


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


def is_done(attack: Attack, state: Any) -> tf.Tensor:
    """Tells which examples need no more advances, bool [batch]."""
    return tf.logical_or(state.verdict.fooled, state.step >= attack.advances)


def draw_batch(
    attack: Attack,
    shape: tuple[int, int, int],
    seeds: Sequence[tuple[int, ...]],
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
