"""What perturbs training images: generators, gradient attacks, or nothing.

All kinds answer to the same two calls, so that one training step serves them
all: `prepare` does what needs no generator gradient (a random start, the sign
of the classifier's gradient, a whole PGD run), `perturb` turns that into
perturbed images and is the part that generators are trained through.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import keras
import tensorflow as tf

from tfgan_robust.attacks import formulations
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.linf import project, random_start
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.runs.config import TrainConfig

# The step of FGSM with a random start (arXiv:2001.03994, section 5).
FGSM_STEP = 1.25

# Kinds of noise, each with a stream of its own.
_START, _LATENT = 0, 1


class Point(NamedTuple):
    """Where perturbations start.

    Attributes:
        images: The clean images, float32 [batch, height, width, channels] in
            [0, 1].
        start: Images inside the ball around `images`, shaped alike.
        gradient_sign: Sign of the classifier's loss gradient at `start`,
            zeros where the adversary does not look at it.
        seed: int32 [2], for what is drawn later.
    """

    images: tf.Tensor
    start: tf.Tensor
    gradient_sign: tf.Tensor
    seed: tf.Tensor


class Adversary(Protocol):
    """Perturbs training images within the L-infinity ball."""

    generators: Sequence[keras.Model]

    def prepare(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> Point:
        """Does the work that generators are not trained through."""

    def perturb(self, point: Point, call: int = 0) -> list[tf.Tensor]:
        """Returns perturbed images, one batch for each perturbation.

        Args:
            point: From `prepare`.
            call: Number of the call for this point; latent noise is drawn
                anew for each.
        """


class NoAdversary:
    """Leaves the images alone: the paper's baseline."""

    generators: Sequence[keras.Model] = ()

    def prepare(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> Point:
        """See `Adversary.prepare`."""
        return Point(images, images, tf.zeros_like(images), seed)

    def perturb(self, point: Point, call: int = 0) -> list[tf.Tensor]:
        """Returns an empty list."""
        return []


class GradientAdversary:
    """FGSM with a random start, or PGD: the yardsticks.

    Args:
        logits_fn: The classifier, in the mode in which it is attacked.
        config: The run's settings; `method` is "fgsm" or "pgd".
    """

    generators: Sequence[keras.Model] = ()

    def __init__(self, logits_fn: LogitsFn, config: TrainConfig) -> None:
        self._logits_fn, self._config = logits_fn, config

    def prepare(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> Point:
        """Runs the attack; its result is the point's `start`."""
        steps, step_size = gradient_attack_steps(self._config)
        random = self._config.random_start > 0
        attacked = pgd(
            self._logits_fn,
            images,
            labels,
            eps=self._config.eps,
            num_steps=steps,
            step_size=step_size,
            seed=fold_in(seed, _START) if random else None,
        )
        return Point(images, attacked, tf.zeros_like(images), seed)

    def perturb(self, point: Point, call: int = 0) -> list[tf.Tensor]:
        """Returns the attacked images."""
        return [point.start]


class GeneratorAdversary:
    """The paper's generators: x + eps G(I), equation 5.

    With a random start the input I and the perturbation are taken there, and
    what leaves the ball is clipped.

    Args:
        logits_fn: The classifier, in the mode in which it is attacked.
        generators: Models whose output is in [-1, 1].
        config: The run's settings.
    """

    def __init__(
        self,
        logits_fn: LogitsFn,
        generators: Sequence[keras.Model],
        config: TrainConfig,
    ) -> None:
        self._logits_fn, self._config = logits_fn, config
        self.generators = generators

    def prepare(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> Point:
        """Draws the start and takes the gradient's sign there."""
        start = images
        if self._config.random_start > 0:
            start = random_start(
                images,
                self._config.eps * self._config.random_start,
                fold_in(seed, _START),
            )
        sign = tf.zeros_like(images)
        if formulations.needs_gradient(self._config.formulation):
            gradient, _, _ = input_gradient(self._logits_fn, start, labels)
            sign = tf.sign(gradient)
        return Point(images, start, sign, seed)

    def perturb(self, point: Point, call: int = 0) -> list[tf.Tensor]:
        """Returns one batch of perturbed images for each generator."""
        return [
            self.apply(point, self.directions(point, index, call=call))
            for index in range(len(self.generators))
        ]

    def directions(
        self, point: Point, index: int, *, training: bool = True, call: int = 0
    ) -> tf.Tensor:
        """Runs one generator.

        Args:
            point: From `prepare`.
            index: Which generator.
            training: Whether its batch normalisation uses the batch.
            call: Changes the latent noise, for formulation `xz`.

        Returns:
            float32, shaped as the images, in [-1, 1].
        """
        shape = tf.shape(point.images)
        noise = tf.random.stateless_normal(
            [*tf.unstack(shape[:3]), self._config.latent_channels],
            fold_in(point.seed, _LATENT, index, call),
        )
        build_input = formulations.FORMULATIONS[self._config.formulation]
        inputs = build_input(point.start, point.gradient_sign, noise)
        outputs = self.generators[index](inputs, training=training)
        return tf.cast(outputs, tf.float32)

    def apply(self, point: Point, directions: tf.Tensor) -> tf.Tensor:
        """Moves the start along directions, within the ball and [0, 1]."""
        step = self._config.eps * self._config.generator_step
        return project(
            point.start + step * directions, point.images, self._config.eps
        )


def fold_in(seed: tf.Tensor, *numbers: int | tf.Tensor) -> tf.Tensor:
    """Derives a seed, int32 [2], for each sequence of numbers."""
    for number in numbers:
        # Split first: folding in replaces half of the seed by the number.
        mixed = tf.random.experimental.stateless_split(seed, 1)[0]
        seed = tf.random.experimental.stateless_fold_in(mixed, number)
    return seed


def gradient_attack_steps(config: TrainConfig) -> tuple[int, float | None]:
    """Returns the steps and the step size of methods fgsm and pgd."""
    if config.method == "fgsm":
        return 1, config.attack_step_size or FGSM_STEP * config.eps
    return config.attack_steps, config.attack_step_size


def build_adversary(
    logits_fn: LogitsFn,
    generators: Sequence[keras.Model],
    config: TrainConfig,
) -> Adversary:
    """Returns the adversary that `config.method` names."""
    if config.method == "gan":
        return GeneratorAdversary(logits_fn, generators, config)
    if config.method == "natural":
        return NoAdversary()
    return GradientAdversary(logits_fn, config)
