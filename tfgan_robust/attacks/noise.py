"""Random noise: what an attack must beat to be one."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.balls import NORMS
from tfgan_robust.attacks.base import (
    Problem,
    Verdict,
    begin_in_ball,
    judge,
    no_verdict,
)
from tfgan_robust.attacks.options import check_choice
from tfgan_robust.networks.logits import LogitsFn


class NoiseState(NamedTuple):
    """Where a run of `Noise` stands; see `State`."""

    step: tf.Tensor
    verdict: Verdict


@dataclasses.dataclass(frozen=True)
class Noise:
    """One point of the ball, drawn uniformly.

    Attributes:
        norm: One of `balls.NORMS`.

    Raises:
        UsageError: for another norm.
    """

    norm: str = "linf"

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, NORMS)

    @property
    def advances(self) -> int:
        """One look."""
        return 1

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes in one advance."""
        return 1, 0

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the point."""
        return (NORMS[self.norm].draw(rng, shape),)

    def begin(self, problem: Problem) -> NoiseState:
        """Returns the state before the look."""
        noisy = begin_in_ball(problem, self.norm)
        return NoiseState(
            tf.zeros_like(problem.labels, tf.int32),
            no_verdict(noisy, problem.labels),
        )

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: NoiseState
    ) -> NoiseState:
        """Judges the noisy image."""
        noisy = state.verdict.images
        here = judge(logits_fn(noisy), noisy, problem.labels)
        return NoiseState(state.step + 1, here)
