"""What a generator does to an image, in training and as an attack."""

import dataclasses
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import Attack, Problem, State, judge
from tfgan_robust.attacks.formulations import FORMULATIONS, sees_gradient
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.linf import draw, project
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import LossFn, log_odds


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorInput:
    """What a generator sees, equations 6 to 9 of the paper.

    Attributes:
        formulation: One of `FORMULATIONS`.
        latent_channels: Channels of the noise.
    """

    formulation: str
    latent_channels: int = 1

    @classmethod
    def of(cls, settings: Any) -> Self:
        """Takes what it needs from the settings of a method or of a run."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(settings, name) for name in names})

    def gradient_sign(
        self,
        logits_fn: LogitsFn,
        start: tf.Tensor,
        labels: tf.Tensor,
        loss_fn: LossFn = log_odds,
    ) -> tf.Tensor:
        """Returns the sign of the loss gradient that a generator sees.

        Args:
            logits_fn: The classifier.
            start: float32 [batch, height, width, channels] in [0, 1].
            labels: Integer [batch].
            loss_fn: From labels and logits to a loss for each example.

        Returns:
            float32, shaped as `start`; zeros if the formulation needs none.
        """
        if not sees_gradient(self.formulation):
            return tf.zeros_like(start)

        def seen(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
            return loss_fn(self.looked_at(labels, logits), logits)

        gradient, _, _ = input_gradient(logits_fn, start, labels, seen)
        return tf.sign(gradient)

    def looked_at(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns the classes whose loss is seen, integer [batch].

        Args:
            labels: Integer [batch].
            logits: float32 [batch, num_classes].
        """
        return labels

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perturbation(GeneratorInput):
    """A generator's output moves an image: x + eps G(I), equation 5.

    Where perturbations start at a random point, I is taken there, and what
    leaves the ball is clipped.

    Attributes:
        random_start: Radius of the start, as a share of eps.
        generator_step: Size of the generator's output, as a multiple of eps.
        gradient_label: One of `GRADIENT_LABELS`: whether the gradient is of
            the loss of the "true" class or of the "predicted" one.
    """

    random_start: float = 0.0
    generator_step: float = 1.0
    gradient_label: str = "true"
    # Gradients that are taken beside the one that the generator sees.
    looks = 0

    def looked_at(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """See `GeneratorInput.looked_at`."""
        predicted = self.gradient_label == "predicted"
        return tf.argmax(logits, axis=-1) if predicted else labels

    def attack(
        self, generator: keras.Model, logits_fn: LogitsFn, problem: Problem
    ) -> tf.Tensor:
        """Returns what a trained generator makes of images, in the ball.

        Args:
            generator: To [batch, height, width, channels] in [-1, 1].
            logits_fn: The classifier.
            problem: Its noise is a point of the unit ball, and the latent one.
        """
        images, (noise, latent) = problem.images, problem.noise
        start = images + self.random_start * problem.eps * noise
        start = project(start, images, problem.eps)
        sign = self.gradient_sign(logits_fn, start, problem.labels)
        directions = self.directions(generator, start, sign, latent)
        return self.move(images, start, directions, problem.eps)

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedStep(GeneratorInput):
    """A gradient step from where a generator says: x0 = x + eps (s G(I) + xi).

    Of an image that is seen for the first time, I holds the gradient's sign
    at the image itself.

    Attributes:
        start_size: Largest length of the learned part, as a multiple of eps.
        start_noise: Radius of the noise, as a multiple of eps.
        gradient_step: The step, as a multiple of eps.
        clip_to_ball: Whether what leaves the ball is clipped.
    """

    start_size: float = 1.0
    start_noise: float = 0.5
    gradient_step: float = 1.0
    clip_to_ball: bool = True
    looks = 1

    def attack(
        self, generator: keras.Model, logits_fn: LogitsFn, problem: Problem
    ) -> tf.Tensor:
        """See `Perturbation.attack`; the learned part has its full length."""
        images, (noise, latent) = problem.images, problem.noise
        sign = self.gradient_sign(logits_fn, images, problem.labels)
        directions = self.directions(generator, images, sign, latent)
        moved = self.start_size * directions + self.start_noise * noise
        begun = tf.clip_by_value(images + problem.eps * moved, 0.0, 1.0)
        gradient, _, _ = input_gradient(logits_fn, begun, problem.labels)
        attacked = self.step(images, begun, gradient, problem.eps)
        return project(attacked, images, problem.eps)

    def step(
        self,
        images: tf.Tensor,
        begun: tf.Tensor,
        gradient: tf.Tensor,
        eps: float | tf.Tensor,
    ) -> tf.Tensor:
        """Steps along the gradient's sign.

        Args:
            images: Centres of the balls, float32 [batch, height, width,
                channels] in [0, 1].
            begun: Where the step begins, shaped alike, in [0, 1].
            gradient: That of the loss there, shaped alike.
            eps: Radius on the [0, 1] pixel scale.

        Returns:
            float32, shaped as `images`, in [0, 1].
        """
        moved = begun + self.gradient_step * eps * tf.sign(gradient)
        if self.clip_to_ball:
            return project(moved, images, eps)
        return tf.clip_by_value(moved, 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class GeneratorAttack(Attack):
    """One call of a trained generator, as in training but on its averages.

    Attributes:
        generator: To directions in [-1, 1].
        perturbation: As it was trained. The radius is the problem's.
    """

    generator: keras.Model
    perturbation: Perturbation | LearnedStep

    @property
    def passes(self) -> tuple[int, int]:
        """One of each more for each gradient that is looked at."""
        how = self.perturbation
        gradients = how.looks + int(sees_gradient(how.formulation))
        return 1 + gradients, gradients

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the start and the latent noise."""
        latent = (*shape[:2], self.perturbation.latent_channels)
        return draw(rng, shape), rng.standard_normal(latent, np.float32)

    def start(self, problem: Problem) -> tf.Tensor:
        """Returns the images; where to begin is the perturbation's affair."""
        return problem.images

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: State
    ) -> State:
        """Asks the generator and judges its answer."""
        attacked = self.perturbation.attack(self.generator, logits_fn, problem)
        here = judge(logits_fn(attacked), attacked, problem.labels)
        return State(state.step + 1, here, attacked)
