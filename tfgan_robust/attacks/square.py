"""Square attack: random squares, no gradients."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import (
    Attack,
    Problem,
    Verdict,
    choose_each,
    judge,
)
from tfgan_robust.attacks.linf import project
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import margin

# Section 4 of arXiv:1912.00049 and the authors' code: a square covers this
# share of the image, halved after so many of 10,000 queries.
_FIRST_SHARE = 0.8
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_SCHEDULE_LENGTH = 10_000


class SquareState(NamedTuple):
    """As `State`, and what the next proposal changes.

    Attributes:
        best: The image of the largest loss so far, shaped as the images.
        best_loss: Its margin, float32 [batch].
    """

    step: tf.Tensor
    verdict: Verdict
    images: tf.Tensor
    best: tf.Tensor
    best_loss: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Square(Attack):
    """Square attack in the L-infinity ball (arXiv:1912.00049, algorithm 2).

    Attributes:
        num_queries: Looks at the network after the first.
        rescaled: Whether squares shrink twice as fast for half of 10,000
            queries, and so on, or as for 10,000.
    """

    num_queries: int = 5000
    rescaled: bool = True
    passes = 1, 0

    @property
    def advances(self) -> int:
        """One for each query, the start included."""
        return self.num_queries + 1

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the stripes of the start, then place and signs of squares."""
        _, width, channels = shape
        signed = np.array([-1, 1], np.float32)
        stripes = rng.choice(signed, (1, width, channels))
        places = rng.random((self.num_queries, 2), np.float32)
        signs = rng.choice(signed, (self.num_queries, channels))
        return stripes, places, signs

    def begin(self, problem: Problem) -> SquareState:
        """Returns the state at vertical stripes."""
        step, verdict, start = super().begin(problem)
        lowest = tf.fill(tf.shape(problem.labels), -float("inf"))
        return SquareState(step, verdict, start, start, lowest)

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: SquareState
    ) -> SquareState:
        """Judges a proposal, keeps it if it gains, and makes the next."""
        logits = tf.cast(logits_fn(state.images), tf.float32)
        here = judge(logits, state.images, problem.labels)
        loss = margin(problem.labels, logits)
        best, best_loss = choose_each(
            loss > state.best_loss,
            (state.images, loss),
            (state.best, state.best_loss),
        )
        return SquareState(
            state.step + 1,
            here,
            self._propose(problem, best, state.step),
            best,
            best_loss,
        )

    def _propose(
        self, problem: Problem, best: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        _, height, width, _ = problem.images.shape
        index = tf.minimum(step, self.num_queries - 1)
        sides = _sides(self.num_queries, height, width, self.rescaled)
        side = tf.gather(sides, index)
        place = tf.gather(problem.noise[1], index, batch_dims=1)
        signs = tf.gather(problem.noise[2], index, batch_dims=1)
        rows = _inside(place[:, 0], side, height)[:, :, tf.newaxis]
        columns = _inside(place[:, 1], side, width)[:, tf.newaxis, :]
        inside = (rows * columns)[..., tf.newaxis]
        change = 2 * problem.eps * signs[:, tf.newaxis, tf.newaxis]
        return project(best + inside * change, problem.images, problem.eps)


def _inside(place: tf.Tensor, side: tf.Tensor, size: int) -> tf.Tensor:
    """Marks the rows or columns of a square, float32 [batch, size]."""
    places = tf.cast(size - side + 1, tf.float32)
    first = tf.cast(tf.floor(place * places), tf.int32)[:, tf.newaxis]
    position = tf.range(size)[tf.newaxis]
    inside = (position >= first) & (position < first + side[:, tf.newaxis])
    return tf.cast(inside, tf.float32)


def _sides(
    num_queries: int, height: int, width: int, rescaled: bool = True
) -> tf.Tensor:
    """Returns the side of the square of each query, int32."""
    queries = np.arange(num_queries)
    if rescaled:
        queries = queries * _SCHEDULE_LENGTH // num_queries
    halvings = np.searchsorted(_HALVED_AFTER, queries, side="left")
    pixels = _FIRST_SHARE / 2.0**halvings * height * width
    sides = np.maximum(np.round(np.sqrt(pixels)), 1).astype(np.int32)
    return tf.constant(np.minimum(sides, min(height, width)))
