"""The paper's method: generators that perturb as the classifier learns."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from tfgan_robust.attacks.generators import Perturbation
from tfgan_robust.attacks.linf import random_start
from tfgan_robust.methods.base import Method, Perturbed, fold_in
from tfgan_robust.methods.generator_settings import GeneratorSettings
from tfgan_robust.methods.sharing import in_parts, latent_noise
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

    def part(self, own: slice) -> "Point":
        """Returns the point of a part of the batch."""
        images, start, sign = (each[own] for each in self[:3])
        return Point(images, start, sign, self.seed)


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
        self._split = settings.num_parts > 1
        if not self._split:
            self.names = self.players
        self.generator_mode = settings.generator_mode
        if settings.update == "alternating":
            self.separate_updates = settings.generator_updates
            # The mean over a batch holds that over a generator's own part.
            self.ascent = count if self._split else 1
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
            reach = self.radius * self.settings.random_start
            start = random_start(images, reach, fold_in(seed, _START))
        sign = self._perturbation.gradient_sign(
            self.logits_fn, start, labels, self.followed
        )
        return Point(images, start, sign, seed)

    def complete(self, prepared: Point, update: int | None = None) -> Perturbed:
        """See `Method.complete`."""
        if update is None:
            update = self.settings.generator_updates
        return Perturbed(self._perturb(prepared, update, training=True))

    def perturb(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """Perturbs with the generators in inference mode."""
        return self._perturb(self.prepare(images, labels, seed))

    def _perturb(
        self, point: Point, update: int = 0, training: bool = False
    ) -> list[tf.Tensor]:
        count = self.num_generators
        if not self._split:
            return [
                self.move(point, self.directions(point, n, update, training))
                for n in range(count)
            ]
        # Batches are shuffled, so that the parts are drawn at random.
        found = in_parts(
            point.images,
            count,
            lambda n, own: self.directions(
                point.part(own), n, update, training
            ),
        )
        return [self.move(point, found)]

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
        return self._perturbation.directions(
            self.generators[index],
            point.start,
            point.gradient_sign,
            latent_noise(
                point.images,
                self.settings.latent_channels,
                fold_in(point.seed, _LATENT, index, update),
            ),
            training=training,
        )

    def alone(
        self, prepared: Point, index: int, draw: int = 0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Method.alone`."""
        directions = self.directions(prepared, index, update=draw)
        return directions, self.move(prepared, directions)

    def move(self, point: Point, directions: tf.Tensor) -> tf.Tensor:
        """Moves the start along directions, within the ball and [0, 1]."""
        return self._perturbation.move(
            point.images, point.start, directions, self.radius
        )
