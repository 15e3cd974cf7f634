"""What a training method is: perturbed training images, and a loss on them.

A new method is one file: a subclass of `Method` that says how to perturb and,
unless it is equation 5, what the loss is; its settings, a subclass of
`MethodSettings`; and one row of `METHODS`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfgan_robust.errors import UsageError
from tfgan_robust.lazy import load
from tfgan_robust.methods.registry import METHODS
from tfgan_robust.methods.settings import MethodSettings
from tfgan_robust.networks.logits import LogitsFn, followed_logits
from tfgan_robust.networks.losses import cross_entropy, log_odds


class Perturbed(NamedTuple):
    """What the classifier is to see.

    Attributes:
        batches: A batch of images for each of `Method.names`.
        pairs: For each batch the logits, [batch, num_classes], that pairing
            draws its logits towards, and which it trains as well; None for
            those of the clean images.
        ascent: float32 [batch]: what generators ascend beside the loss, of
            no effect on the classifier.
        gradient: What a method that remembers is shown at the next visit,
            shaped as the images.
    """

    batches: list[tf.Tensor]
    pairs: list[tf.Tensor] | None = None
    ascent: tf.Tensor | None = None
    gradient: tf.Tensor | None = None


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
        remembers: Whether `prepare` takes `remembered`, the sign of the
            gradient that `complete` returned at an image's last visit.
        separate_updates: How often generators learn before the classifier
            does, in passes of their own; 0 if they learn in its pass.
        generator_mode: Mode of the classifier in those passes.
        ascent: The multiple of the loss's gradient that generators ascend.
        clean_weight: Weight of clean images; without it they are not seen.
        clean_share: Share of a batch that is seen clean.
        adversarial_weight: Weight of perturbed images.
        pairing_weight: Weight of the squared differences between logits of
            perturbed images and their pairs.
        followed: The loss whose gradient perturbs, from labels and logits.
        label_smoothing: Share of a label that is spread over all classes.
        warmup: The share of eps that is the radius of now.
        batching: "joint" or "separate": how the classifier sees batches.
        selects_by: The measurement that picks the best epoch.

    Raises:
        UsageError: if the method needs another number of generators.
    """

    settings: Any
    names: Sequence[str] = ("attack",)
    num_generators: int = 0
    remembers: bool = False
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
        self.clean_share = getattr(settings, "clean_share", 1.0)
        self.adversarial_weight = getattr(settings, "adversarial_weight", 1.0)
        self.pairing_weight = getattr(settings, "pairing_weight", 0.0)
        self.batching = getattr(settings, "batching", "joint")
        mode = getattr(settings, "attack_mode", "inference")
        alone = self.attacks_in_inference = mode == "inference"
        # In training mode an image's gradient holds the losses of others, by
        # weights that only the loss itself gives them.
        self.followed = log_odds if alone else cross_entropy
        self.label_smoothing = 0.0
        self.warmup: Callable[[], float | tf.Tensor] = lambda: 1.0
        if len(generators) != self.num_generators:
            raise UsageError(
                f"The method needs {self.num_generators} generators. "
                f"Received: {len(generators)}."
            )

    @property
    def players(self) -> list[str]:
        """What the networks that perturb are called in metrics."""
        return [f"generator_{n}" for n in range(self.num_generators)]

    @property
    def radius(self) -> float | tf.Tensor:
        """The radius of now on the [0, 1] pixel scale: eps, or less."""
        return self.eps * self.warmup()

    def perturb(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """Perturbs images.

        Args:
            images: float32 [batch, height, width, channels] in [0, 1].
            labels: Integer [batch].
            seed: int32 [2]; the same seed draws the same noise.

        Returns:
            A batch for each of `names`, float32, shaped as `images`, in
            [0, 1] and, unless the method says otherwise, within the radius.
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
            clean: Logits of clean images in training mode, float32 [share of
                the batch, num_classes], the first of the batch; None if
                `clean_weight` is 0.
            perturbed: Those of each perturbed batch, [batch, num_classes].

        Returns:
            float32 [batch].
        """
        terms = []
        if clean is not None:
            terms.append(self.clean_weight * self.clean_loss(labels, clean))
        for logits in perturbed:
            share = self.adversarial_weight / len(perturbed)
            terms.append(share * self.cross_entropy(labels, logits))
        return tf.add_n(terms)

    def cross_entropy(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns that of smoothed labels, float32 [batch]."""
        return cross_entropy(labels, logits, self.label_smoothing)

    def clean_loss(self, labels: tf.Tensor, clean: tf.Tensor) -> tf.Tensor:
        """Returns the cross-entropy of those images that are seen clean.

        Returns:
            float32 [batch], whose mean is that over the images seen.
        """
        count, seen = tf.shape(labels)[0], tf.shape(clean)[0]
        loss = self.cross_entropy(labels[:seen], clean)
        if self.clean_share == 1:
            return loss
        return tf.pad(loss, [[0, count - seen]]) * tf.cast(
            count / seen, tf.float32
        )

    def extra_loss(
        self,
        found: Perturbed,
        clean: tf.Tensor | None,
        perturbed: list[tf.Tensor],
    ) -> tf.Tensor | None:
        """Computes what is added to the loss: pairing, and generators' own.

        Pairing has the gradient of both sides. Clean images are seen in
        training mode as perturbed ones are, other pairs as `complete` says.

        Args:
            found: From `complete`.
            clean: As in `loss`.
            perturbed: As in `loss`.

        Returns:
            float32 [batch]; None if there is nothing to add.
        """
        terms = []
        if self.pairing_weight > 0:
            pairs = found.pairs or [clean] * len(perturbed)
            for logits, pair in zip(perturbed, pairs, strict=True):
                share = self.pairing_weight / len(perturbed)
                distance = tf.reduce_mean(tf.square(logits - pair), axis=-1)
                terms.append(share * distance)
        if found.ascent is not None:
            # Of value 0, so that the loss stays what the classifier descends.
            terms.append(found.ascent - tf.stop_gradient(found.ascent))
        return tf.add_n(terms) if terms else None

    def logits(
        self,
        classifier: Callable[..., tf.Tensor],
        images: tf.Tensor,
        perturbed: dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Runs the classifier in training mode on what the loss looks at.

        Args:
            classifier: From images, and `training`, to logits [batch,
                num_classes].
            images: The clean images.
            perturbed: Perturbed images by name, shaped alike.

        Returns:
            Logits by name, those of clean images as "clean".
        """
        batches = dict(perturbed)
        if self.clean_weight > 0:
            batches = {"clean": self._seen_clean(images), **batches}
        passes = list(batches.values())
        sizes = [tf.shape(each)[0] for each in passes]
        joint = self.batching == "joint" and len(passes) > 1
        if joint:
            passes = [tf.concat(passes, 0)]
        found = [classifier(each, training=True) for each in passes]
        if joint:
            found = tf.split(found[0], sizes, num=len(sizes))
        return dict(zip(batches, found, strict=True))

    def _seen_clean(self, images: tf.Tensor) -> tf.Tensor:
        if self.clean_share == 1:
            return images
        count = tf.cast(tf.shape(images)[0], tf.float32)
        seen = tf.maximum(1.0, tf.round(self.clean_share * count))
        return images[: tf.cast(seen, tf.int32)]

    def prepare(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> Any:
        """Does the part of `perturb` that no generator is trained through.

        Returns:
            What `complete` takes.
        """
        return self.perturb(images, labels, seed)

    def complete(self, prepared: Any, update: int | None = None) -> Perturbed:
        """Does the rest of `perturb`, with generators in training mode.

        Args:
            prepared: From `prepare`.
            update: Number of the generators' update, for which alone noise
                is drawn; None for the classifier's.
        """
        return Perturbed(prepared)

    def alone(
        self, prepared: Any, index: int, draw: int = 0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs one generator, in inference mode, on all images.

        Args:
            prepared: From `prepare`.
            index: Which generator.
            draw: Changes the latent noise.

        Returns:
            Its output in [-1, 1], and the images that it moved by that.
        """
        raise NotImplementedError


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
    return build(settings, eps, followed_logits(classifier, mode), generators)


def fold_in(seed: tf.Tensor, *numbers: int | tf.Tensor) -> tf.Tensor:
    """Derives a seed, int32 [2], for each sequence of numbers."""
    for number in numbers:
        # Split first: folding in replaces half of the seed by the number.
        mixed = tf.random.experimental.stateless_split(seed, 1)[0]
        seed = tf.random.experimental.stateless_fold_in(mixed, number)
    return seed
