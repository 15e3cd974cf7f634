"""Generators that say where a gradient step begins.

    x0 = clip(x + eps (s G(I) + xi)),  s ~ U(0, size),  xi ~ U(-noise, noise)
    x1 = clip(x0 + step sign(grad L(D(x0), y)))

The classifier descends the loss at x1; a generator ascends that at x0, by the
gradient that the step has taken anyway, so that its update costs no pass of
the classifier. As fast as one gradient step is, learned starts keep it from
the overfitting to itself that random starts end in (arXiv:2110.05007).
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from tfgan_robust.attacks.generators import LearnedStep
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.methods.base import Method, Perturbed, fold_in
from tfgan_robust.methods.generator_settings import LearnedStartSettings
from tfgan_robust.methods.sharing import in_parts, latent_noise
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import cross_entropy

# Kinds of noise, each with a stream of its own.
_NOISE, _LATENT, _SIZE, _DIRECTION = range(4)
_ALL = slice(None)


class Start(NamedTuple):
    """What starts are made of.

    Attributes:
        images: The clean images, float32 [batch, height, width, channels] in
            [0, 1].
        labels: Integer [batch].
        seen: What generators see as the gradient's sign, shaped as `images`.
        noise: What is added, on the pixel scale, shaped alike.
        size: Length of the learned part there, float32 [batch, 1, 1, 1].
        seed: int32 [2], of all other noise.
    """

    images: tf.Tensor
    labels: tf.Tensor
    seen: tf.Tensor
    noise: tf.Tensor
    size: tf.Tensor
    seed: tf.Tensor


class LearnedStart(Method):
    """One gradient step from a start that generators learn.

    See `Method` for the arguments and what is raised.
    """

    settings: LearnedStartSettings

    def __init__(
        self,
        settings: LearnedStartSettings,
        eps: float,
        logits_fn: LogitsFn,
        generators: Sequence[keras.Model] = (),
    ) -> None:
        self.num_generators = settings.num_networks
        self.remembers = settings.remembers
        super().__init__(settings, eps, logits_fn, generators)
        self._how = LearnedStep.of(settings)

    def prepare(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        seed: tf.Tensor,
        remembered: tf.Tensor | None = None,
    ) -> Start:
        """Draws all noise.

        Args:
            images: See `Method.perturb`.
            labels: See `Method.perturb`.
            seed: See `Method.perturb`.
            remembered: Sign of the gradient at the last visit, shaped as
                `images`. Without it that of now is taken, if it is looked at.
        """
        shape, radius = tf.shape(images), self.radius
        noise = tf.random.stateless_uniform(
            shape, fold_in(seed, _NOISE), -1.0, 1.0
        )
        size = tf.random.stateless_uniform(
            [shape[0], 1, 1, 1], fold_in(seed, _SIZE)
        )
        seen = remembered
        if seen is None:
            seen = tf.zeros_like(images)
            if self.remembers:
                gradient, _, _ = input_gradient(
                    self.logits_fn, images, labels, cross_entropy
                )
                seen = tf.sign(gradient)
        return Start(
            images,
            labels,
            seen,
            radius * self.settings.start_noise * noise,
            radius * self.settings.start_size * size,
            seed,
        )

    def complete(self, prepared: Start, update: int | None = None) -> Perturbed:
        """See `Method.complete`.

        Pairs are the logits of the step's gradient, in `attack_mode`.
        """
        return self._perturb(prepared, training=True)

    def perturb(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        seed: tf.Tensor,
        remembered: tf.Tensor | None = None,
    ) -> list[tf.Tensor]:
        """Perturbs with the generators in inference mode; see `prepare`."""
        prepared = self.prepare(images, labels, seed, remembered)
        return self._perturb(prepared).batches

    def _perturb(self, start: Start, training: bool = False) -> Perturbed:
        begun = self.begin(start, self.directions(start, training))
        here = tf.stop_gradient(begun)
        gradient, logits, _ = input_gradient(
            self.logits_fn, here, start.labels, cross_entropy
        )
        gradient = tf.stop_gradient(gradient)
        moved = self._how.step(start.images, here, gradient, self.radius)
        ascent = None
        if self.num_generators:
            ascent = tf.reduce_sum(gradient * begun, axis=[1, 2, 3])
        return Perturbed([moved], [logits], ascent, gradient)

    def alone(
        self, prepared: Start, index: int, draw: int = 0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Method.alone`; images are moved to where the step begins."""
        directions = self.direction(prepared, index, draw=draw)
        return directions, self.begin(prepared, directions)

    def begin(self, start: Start, directions: tf.Tensor) -> tf.Tensor:
        """Returns where the step begins, in [0, 1].

        Args:
            start: From `prepare`.
            directions: float32, shaped as the images, in [-1, 1].
        """
        moved = start.images + start.size * directions + start.noise
        return tf.clip_by_value(moved, 0.0, 1.0)

    def directions(self, start: Start, training: bool = False) -> tf.Tensor:
        """Returns what starts are moved along, in [-1, 1].

        Args:
            start: From `prepare`.
            training: Whether batch normalisation of generators uses the batch.

        Returns:
            float32, shaped as the images.
        """
        source = self.settings.start_from
        if source == "remembered":
            return start.seen
        if source == "noise":
            return tf.random.stateless_uniform(
                tf.shape(start.images),
                fold_in(start.seed, _DIRECTION),
                -1.0,
                1.0,
            )
        # Batches are shuffled, so that the parts are drawn at random.
        return in_parts(
            start.images,
            self.num_generators,
            lambda index, own: self.direction(
                start, index, own=own, training=training
            ),
        )

    def direction(
        self,
        start: Start,
        index: int,
        *,
        own: slice = _ALL,
        draw: int = 0,
        training: bool = False,
    ) -> tf.Tensor:
        """Runs one generator on its part of a batch.

        Args:
            start: From `prepare`.
            index: Which generator.
            own: Which images of the batch it sees.
            draw: Changes the latent noise.
            training: Whether its batch normalisation uses the batch.
        """
        images, seen = start.images[own], start.seen[own]
        noise = latent_noise(
            images,
            self.settings.latent_channels,
            fold_in(start.seed, _LATENT, index, draw),
        )
        return self._how.directions(
            self.generators[index], images, seen, noise, training=training
        )
