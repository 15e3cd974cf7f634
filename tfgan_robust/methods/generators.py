"""The paper's method: generators that perturb as the classifier learns."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from tfgan_robust.attacks.generators import Perturbation
from tfgan_robust.attacks.linf import random_start
from tfgan_robust.methods.base import Method, fold_in
from tfgan_robust.methods.settings import GeneratorSettings
from tfgan_robust.networks.logits import LogitsFn

# Kinds of noise, each with a stream of its own.
_START, _LATENT = 0, 1


class Point(NamedTuple):
    """Where perturbations start, and what generators see there.

    Attributes:
        images: The clean images, float32 [batch, height, width, channels] in
            [0, 1].
        start: Images inside the ball around `images`, shaped alike.
        gradient_sign: Sign of the classifier's loss gradient at `start`,
            zeros where generators do not look at it.
        seed: int32 [2], of latent noise.
    """

    images: tf.Tensor
    start: tf.Tensor
    gradient_sign: tf.Tensor
    seed: tf.Tensor


class Generators(Method):
    """Generators ascend the loss that the classifier descends, equation 5.

    See `Method` for the arguments and what is raised.
    """

    settings: GeneratorSettings

    def __init__(
        self,
        settings: GeneratorSettings,
        eps: float,
        logits_fn: LogitsFn,
        generators: Sequence[keras.Model] = (),
    ) -> None:
        count = self.num_generators = settings.num_generators
        super().__init__(settings, eps, logits_fn, generators)
        self.names = [f"generator_{index}" for index in range(count)]
        self.generator_mode = settings.generator_mode
        if settings.update == "alternating":
            self.separate_updates = settings.generator_updates
        else:
            # The shared loss holds a generator's own with the inverse weight.
            self.ascent = count / settings.adversarial_weight
        self._perturbation = Perturbation.of(settings)

    def prepare(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> Point:
        """Draws the start and takes the gradient's sign there."""
        start = images
        if self.settings.random_start > 0:
            reach = self.eps * self.settings.random_start
            start = random_start(images, reach, fold_in(seed, _START))
        sign = self._perturbation.gradient_sign(self.logits_fn, start, labels)
        return Point(images, start, sign, seed)

    def complete(
        self, prepared: Point, update: int | None = None
    ) -> list[tf.Tensor]:
        """See `Method.complete`."""
        if update is None:
            update = self.settings.generator_updates
        return [
            self.move(
                prepared,
                self.directions(prepared, index, update, training=True),
            )
            for index in range(self.num_generators)
        ]

    def perturb(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """Perturbs with the generators in inference mode."""
        point = self.prepare(images, labels, seed)
        return [
            self.move(point, self.directions(point, index))
            for index in range(self.num_generators)
        ]

    def directions(
        self, point: Point, index: int, update: int = 0, training: bool = False
    ) -> tf.Tensor:
        """Runs one generator.

        Args:
            point: From `prepare`.
            index: Which generator.
            update: Changes the latent noise.
            training: Whether its batch normalisation uses the batch.

        Returns:
            float32, shaped as the images, in [-1, 1].
        """
        shape = tf.shape(point.images)
        noise = tf.random.stateless_normal(
            [*tf.unstack(shape[:3]), self.settings.latent_channels],
            fold_in(point.seed, _LATENT, index, update),
        )
        return self._perturbation.directions(
            self.generators[index],
            point.start,
            point.gradient_sign,
            noise,
            training=training,
        )

    def move(self, point: Point, directions: tf.Tensor) -> tf.Tensor:
        """Moves the start along directions, within the ball and [0, 1]."""
        return self._perturbation.move(
            point.images, point.start, directions, self.eps
        )
