"""Refuses what would spoil an evaluation, before any attack runs."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfgan_robust.classifiers.images import check_images
from tfgan_robust.classifiers.loading import Classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn, as_floats
from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.reports.numbers import wilson

_NUM_IMAGES = 256
# Of probabilities and of their sums; bfloat16 rounds them to about 1/256.
_ROUNDING = 1e-2
# Of the largest logit. Kernels that a GPU chooses anew round to 1e-3; the
# audit is stricter.
_REPEATED = 1e-3
# Of the way from chance to always correct.
_FAR_BETTER = 0.25
# Of the loss at chance, which whoever learnt something stays below.
_LEARNT = 0.9


def check_classifier(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    batch_size: int = 128,
    allow_random: bool = False,
) -> None:
    """Checks images and labels, and what the classifier makes of them.

    The classifier sees the first 256 images, a few times.

    Args:
        classifier: What is to be attacked.
        images: uint8, or float in [0, 1], [n, height, width, channels].
        labels: Integer [n].
        batch_size: Images in a batch.
        allow_random: Whether it may answer differently each time.

    Raises:
        UsageError: if `check_images` refuses the images, or if the classifier
            answers with NaN or infinity, with probabilities where it was
            declared to give logits or the reverse, differently each time, or
            expects pixels from 0 to 255.
    """
    check_images(images, labels, classifier)
    pixels = as_floats(images[:_NUM_IMAGES])
    truth = np.asarray(labels)[:_NUM_IMAGES].astype(np.int64)

    def ask(function: LogitsFn, pixels: np.ndarray) -> np.ndarray:
        starts = range(0, len(pixels), batch_size)
        batches = [tf.constant(pixels[s : s + batch_size]) for s in starts]
        return np.concatenate([function(batch).numpy() for batch in batches])

    logits = ask(classifier.logits_fn, pixels)
    raw, declared = logits, classifier.outputs
    if declared == "probabilities" and classifier.raw_fn is not None:
        raw = ask(classifier.raw_fn, pixels)
    check_finite(raw)
    _check_outputs(raw, declared)
    if not allow_random:
        _check_repeats(logits, ask(classifier.logits_fn, pixels))
    _check_scale(truth, logits, lambda: ask(classifier.logits_fn, 255 * pixels))


def check_finite(answers: np.ndarray) -> None:
    """Refuses NaN and infinity.

    Args:
        answers: Floating point [n, num_classes].

    Raises:
        UsageError: if there is any.
    """
    broken = np.count_nonzero(~np.isfinite(answers).all(axis=-1))
    if broken:
        nan = np.count_nonzero(np.isnan(answers).any(axis=-1))
        raise UsageError(
            "The model must answer with finite numbers, or attacks cannot "
            f"follow it. Received: NaN or infinity for {broken} of "
            f"{len(answers)} images, NaN for {nan}."
        )


def are_probabilities(answers: np.ndarray) -> bool:
    """Tells answers [n, num_classes] of a softmax from logits."""
    sums = answers.sum(axis=-1)
    far = max(-answers.min(), answers.max() - 1, np.abs(sums - 1).max())
    return bool(far <= _ROUNDING)


def _check_outputs(answers: np.ndarray, declared: str) -> None:
    probable = are_probabilities(answers)
    sums = answers.sum(axis=-1)
    received = (
        f"Received: answers from {answers.min():.4g} to {answers.max():.4g} "
        f"that add up to {sums.min():.4g} to {sums.max():.4g} for each image"
    )
    if declared == "logits" and probable:
        raise UsageError(
            "The model answers with probabilities, whose gradients vanish "
            f"where logits are expected. {received}; say "
            "`outputs=probabilities`, or, if a SavedModel calls them logits, "
            "rename that output."
        )
    if declared == "probabilities" and not probable:
        raise UsageError(
            "The model was said to answer with probabilities, but does not. "
            f"{received}; if these are logits, say `outputs=logits`."
        )


def _check_repeats(first: np.ndarray, second: np.ndarray) -> None:
    difference = float(np.max(np.abs(first - second)))
    # Not `>`: a NaN in the second pass is a difference.
    if not difference <= _REPEATED * float(np.max(np.abs(first))):
        raise UsageError(
            "The model answers the same images differently each time, so the "
            "attacks' verdicts would not repeat. Received: logits that "
            f"differ by {difference:.2g} between two passes; switch off "
            "dropout and noise at inference, or say `allow_random`."
        )


def _check_scale(
    labels: np.ndarray, logits: np.ndarray, ask: Callable[[], np.ndarray]
) -> None:
    """Refuses a model that only makes sense of pixels from 0 to 255.

    `ask` returns its logits for those.

    One that learnt nothing can be far better there by luck, since whole
    classes fall on one side of it. But its logits grow with the pixels, so
    that it is sure of its errors too: its loss gives it away.
    """
    count = len(labels)
    shares = np.unique(labels, return_counts=True)[1] / count
    chance, loss_at_chance = shares.max(), -np.sum(shares * np.log(shares))
    correct = _num_correct(logits, labels)
    low, high = wilson(correct, count)
    if low > chance:
        return
    scaled = ask()
    scaled_correct = _num_correct(scaled, labels)
    scaled_low, _ = wilson(scaled_correct, count)
    loss = float(tf.reduce_mean(cross_entropy(labels, scaled)))
    if (
        scaled_low > max(high, chance + _FAR_BETTER * (1 - chance))
        and loss < _LEARNT * loss_at_chance
    ):
        raise UsageError(
            "The model expects pixels from 0 to 255, but attacks work on "
            f"[0, 1]. Received: {correct} of {count} images correct on [0, 1], "
            f"{scaled_correct} on [0, 255]; put keras.layers.Rescaling(255) in "
            "front of it."
        )


def _num_correct(logits: np.ndarray, labels: np.ndarray) -> int:
    return int(np.count_nonzero(logits.argmax(axis=-1) == labels))
