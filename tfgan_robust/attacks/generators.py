"""A trained generator as an attack: what a classifier was trained against."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.attacks import formulations
from tfgan_robust.attacks.base import (
    Problem,
    begin_in_ball,
    judge,
    no_verdict,
)
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.linf import draw, project
from tfgan_robust.attacks.noise import NoiseState
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.runs.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class GeneratorAttack:
    """One call of a generator, as in training but on its averages.

    Attributes:
        generator: To directions in [-1, 1].
        config: Of the run that trained it: what the generator sees, and how
            far its output moves an image. The radius is the problem's.
    """

    generator: keras.Model
    config: TrainConfig

    @property
    def advances(self) -> int:
        """One look."""
        return 1

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of the classifier in one advance."""
        needs = formulations.needs_gradient(self.config.formulation)
        return (2, 1) if needs else (1, 0)

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the start and the latent noise."""
        latent = (*shape[:2], self.config.latent_channels)
        return draw(rng, shape), rng.standard_normal(latent, np.float32)

    def begin(self, problem: Problem) -> NoiseState:
        """Returns the state at the start."""
        start = begin_in_ball(problem, reach=self.config.random_start)
        return NoiseState(
            tf.zeros_like(problem.labels, tf.int32),
            no_verdict(start, problem.labels),
        )

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: NoiseState
    ) -> NoiseState:
        """Asks the generator and judges its answer."""
        start = state.verdict.images
        sign = tf.zeros_like(start)
        if formulations.needs_gradient(self.config.formulation):
            gradient, _, _ = input_gradient(logits_fn, start, problem.labels)
            sign = tf.sign(gradient)
        build = formulations.FORMULATIONS[self.config.formulation]
        directions = self.generator(
            build(start, sign, problem.noise[1]), training=False
        )
        step = problem.eps * self.config.generator_step
        attacked = project(
            start + step * tf.cast(directions, tf.float32),
            problem.images,
            problem.eps,
        )
        here = judge(logits_fn(attacked), attacked, problem.labels)
        return NoiseState(state.step + 1, here)
