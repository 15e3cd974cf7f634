"""What a generator does to an image, in training and as an attack."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import Attack, Problem, State, judge
from tfgan_robust.attacks.formulations import FORMULATIONS, sees_gradient
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.linf import draw, project
from tfgan_robust.networks.logits import LogitsFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perturbation:
    """What a generator sees, and how far it moves an image: x + eps G(I).

    Equations 5 to 9 of the paper. Where perturbations start at a random
    point, I is taken there, and what leaves the ball is clipped.

    Attributes:
        formulation: One of `FORMULATIONS`.
        random_start: Radius of the start, as a share of eps.
        generator_step: Size of the generator's output, as a multiple of eps.
        latent_channels: Channels of the noise.
    """

    formulation: str
    random_start: float = 0.0
    generator_step: float = 1.0
    latent_channels: int = 1

    @classmethod
    def of(cls, settings: Any) -> "Perturbation":
        """Takes what it needs from the settings of a method or of a run."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(settings, name) for name in names})

    def gradient_sign(
        self, logits_fn: LogitsFn, start: tf.Tensor, labels: tf.Tensor
    ) -> tf.Tensor:
        """Returns the sign of the loss gradient that a generator sees.

        Args:
            logits_fn: The classifier.
            start: float32 [batch, height, width, channels] in [0, 1].
            labels: Integer [batch].

        Returns:
            float32, shaped as `start`; zeros if the formulation needs none.
        """
        if not sees_gradient(self.formulation):
            return tf.zeros_like(start)
        gradient, _, _ = input_gradient(logits_fn, start, labels)
        return tf.sign(gradient)

    def directions(
        self,
        generator: keras.Model,
        start: tf.Tensor,
        gradient_sign: tf.Tensor,
        noise: tf.Tensor,
        *,
        training: bool = False,
    ) -> tf.Tensor:
        """Runs a generator.

        Args:
            generator: To [batch, height, width, channels] in [-1, 1].
            start: float32 [batch, height, width, channels] in [0, 1].
            gradient_sign: From `gradient_sign`, shaped as `start`.
            noise: float32 [batch, height, width, latent_channels].
            training: Whether its batch normalisation uses the batch.

        Returns:
            float32, shaped as `start`, in [-1, 1].
        """
        parts = {"image": start, "gradient": gradient_sign, "noise": noise}
        seen = [parts[part] for part in FORMULATIONS[self.formulation]]
        outputs = generator(tf.concat(seen, axis=-1), training=training)
        return tf.cast(outputs, tf.float32)

    def move(
        self,
        images: tf.Tensor,
        start: tf.Tensor,
        directions: tf.Tensor,
        eps: float | tf.Tensor,
    ) -> tf.Tensor:
        """Moves the start along directions, within the ball and [0, 1].

        Args:
            images: Centres of the balls, float32 [batch, height, width,
                channels] in [0, 1].
            start: Shaped alike, within the balls.
            directions: From `directions`, shaped alike.
            eps: Radius on the [0, 1] pixel scale.

        Returns:
            float32, shaped as `images`.
        """
        step = eps * self.generator_step
        return project(start + step * directions, images, eps)


@dataclasses.dataclass(frozen=True)
class GeneratorAttack(Attack):
    """One call of a trained generator, as in training but on its averages.

    Attributes:
        generator: To directions in [-1, 1].
        perturbation: As it was trained. The radius is the problem's.
    """

    generator: keras.Model
    perturbation: Perturbation

    @property
    def passes(self) -> tuple[int, int]:
        """One of each more if the generator sees the gradient."""
        sees = sees_gradient(self.perturbation.formulation)
        return (2, 1) if sees else (1, 0)

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the start and the latent noise."""
        latent = (*shape[:2], self.perturbation.latent_channels)
        return draw(rng, shape), rng.standard_normal(latent, np.float32)

    def start(self, problem: Problem) -> tf.Tensor:
        """Returns a point of the ball that training starts in."""
        reach = self.perturbation.random_start * problem.eps
        moved = problem.images + reach * problem.noise[0]
        return project(moved, problem.images, problem.eps)

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: State
    ) -> State:
        """Asks the generator and judges its answer."""
        start, how = state.images, self.perturbation
        sign = how.gradient_sign(logits_fn, start, problem.labels)
        directions = how.directions(
            self.generator, start, sign, problem.noise[1]
        )
        attacked = how.move(problem.images, start, directions, problem.eps)
        here = judge(logits_fn(attacked), attacked, problem.labels)
        return State(state.step + 1, here, start)
