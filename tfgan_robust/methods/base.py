"""What a training method is: perturbed training images, and a loss on them.

A new method is one file: a subclass of `Method` that says how to perturb and,
unless it is equation 5, what the loss is; its settings, a subclass of
`MethodSettings`; and one row of `METHODS`.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.errors import UsageError
from tfgan_robust.lazy import load
from tfgan_robust.methods.registry import METHODS
from tfgan_robust.methods.settings import MethodSettings
from tfgan_robust.networks.logits import LogitsFn, attacked_logits
from tfgan_robust.networks.losses import cross_entropy


class Method:
    """Perturbs training images within the L-infinity ball, and has a loss.

    Args:
        settings: The method's.
        eps: Radius on the [0, 1] pixel scale.
        logits_fn: The classifier, in the mode in which it is attacked.
        generators: The networks that perturb, if any do.

    Attributes:
        names: What the perturbed batches are called in metrics.
        num_generators: How many networks perturb.
        separate_updates: How often generators learn before the classifier
            does, in passes of their own; 0 if they learn in its pass.
        generator_mode: Mode of the classifier in those passes.
        ascent: The multiple of the loss's gradient that generators ascend.
        clean_weight: Weight of clean images; without it they are not seen.
        adversarial_weight: Weight of perturbed images.
        batching: "joint" or "separate": how the classifier sees batches.
        selects_by: The measurement that picks the best epoch.

    Raises:
        UsageError: if the method needs another number of generators.
    """

    settings: Any
    names: Sequence[str] = ("attack",)
    num_generators: int = 0
    separate_updates: int = 0
    generator_mode: str = "inference"
    ascent: float = 1.0
    selects_by: str = "val_pgd_accuracy"

    def __init__(
        self,
        settings: MethodSettings,
        eps: float,
        logits_fn: LogitsFn,
        generators: Sequence[keras.Model] = (),
    ) -> None:
        self.settings, self.eps = settings, eps
        self.logits_fn, self.generators = logits_fn, list(generators)
        self.clean_weight = getattr(settings, "clean_weight", 1.0)
        self.adversarial_weight = getattr(settings, "adversarial_weight", 1.0)
        self.batching = getattr(settings, "batching", "joint")
        if len(generators) != self.num_generators:
            raise UsageError(
                f"The method needs {self.num_generators} generators. "
                f"Received: {len(generators)}."
            )

    def perturb(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """Perturbs images.

        Args:
            images: float32 [batch, height, width, channels] in [0, 1].
            labels: Integer [batch].
            seed: int32 [2]; the same seed draws the same noise.

        Returns:
            A batch for each of `names`, float32, shaped as `images`, within
            eps of them and in [0, 1].
        """
        raise NotImplementedError

    def loss(
        self,
        labels: tf.Tensor,
        clean: tf.Tensor | None,
        perturbed: list[tf.Tensor],
    ) -> tf.Tensor:
        """Computes what the classifier descends: equation 5 of the paper.

        The cross-entropy on clean images with `clean_weight`, and that on
        perturbed ones, averaged, with `adversarial_weight`.

        Args:
            labels: Integer [batch].
            clean: Logits of the clean images in training mode, float32
                [batch, num_classes]; None if `clean_weight` is 0.
            perturbed: Those of each perturbed batch, shaped alike.

        Returns:
            float32 [batch].
        """
        terms = []
        if clean is not None:
            terms.append(self.clean_weight * cross_entropy(labels, clean))
        for logits in perturbed:
            share = self.adversarial_weight / len(perturbed)
            terms.append(share * cross_entropy(labels, logits))
        return tf.add_n(terms)

    def logits(
        self,
        classifier: keras.Model,
        images: tf.Tensor,
        perturbed: dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Runs the classifier in training mode on what the loss looks at.

        Args:
            classifier: From images to logits [batch, num_classes].
            images: The clean images.
            perturbed: Perturbed images by name, shaped alike.

        Returns:
            Logits by name, those of clean images as "clean".
        """
        batches = dict(perturbed)
        if self.clean_weight > 0:
            batches = {"clean": images, **batches}
        passes = list(batches.values())
        if self.batching == "joint":
            passes = [tf.concat(passes, 0)]
        found = [classifier(each, training=True) for each in passes]
        if self.batching == "joint":
            found = tf.split(found[0], len(batches))
        return dict(zip(batches, found, strict=True))

    def prepare(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> Any:
        """Does the part of `perturb` that no generator is trained through.

        Returns:
            What `complete` takes.
        """
        return self.perturb(images, labels, seed)

    def complete(
        self, prepared: Any, update: int | None = None
    ) -> list[tf.Tensor]:
        """Does the rest of `perturb`, with generators in training mode.

        Args:
            prepared: From `prepare`.
            update: Number of the generators' update, for which alone noise
                is drawn; None for the classifier's.
        """
        return prepared


def build_method(
    name: str,
    settings: MethodSettings,
    eps: float,
    classifier: keras.Model,
    generators: Sequence[keras.Model] = (),
) -> Method:
    """Builds a method for a classifier.

    Args:
        name: One of `METHODS`.
        settings: The method's.
        eps: Radius on the [0, 1] pixel scale.
        classifier: From images to logits.
        generators: As many as the method needs.

    Raises:
        UsageError: for an unknown name or a wrong number of generators.
    """
    mode = getattr(settings, "attack_mode", "inference")
    build = load(METHODS[name].build)
    return build(settings, eps, attacked_logits(classifier, mode), generators)


def fold_in(seed: tf.Tensor, *numbers: int | tf.Tensor) -> tf.Tensor:
    """Derives a seed, int32 [2], for each sequence of numbers."""
    for number in numbers:
        # Split first: folding in replaces half of the seed by the number.
        mixed = tf.random.experimental.stateless_split(seed, 1)[0]
        seed = tf.random.experimental.stateless_fold_in(mixed, number)
    return seed
