"""Refuses what would spoil an evaluation, before any attack runs."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.compile import as_graph
from tfgan_robust.classifiers.agreement import OTHER_KERNELS, difference
from tfgan_robust.classifiers.answers import kind_of
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.images import check_images
from tfgan_robust.classifiers.interface import InputRange
from tfgan_robust.classifiers.ranges import answers, drawn, other_range
from tfgan_robust.errors import UsageError, in_one_line
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.reports.numbers import wilson


def check_classifier(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    batch_size: int = 128,
    allow_random: bool = False,
    jit_compile: bool = False,
) -> list[str]:
    """Checks images and labels, and what the classifier makes of them.

    The classifier sees 256 images, drawn from all classes, a few times.

    Args:
        classifier: What is to be attacked.
        images: uint8, or float in [0, 1], [n, height, width, channels].
        labels: Integer [n].
        batch_size: Images in a batch.
        allow_random: Whether it may answer differently each time.
        jit_compile: Whether XLA compiles the attacks on it.

    Returns:
        What a reader of its figures must know: lines of text.

    Raises:
        UsageError: if `check_images` refuses the images, or if the classifier
            answers with NaN or infinity, with another kind of answers than
            was declared or found, differently each time, expects other
            pixels and `Classifier.input_range` does not say so, or does
            something that XLA cannot compile.
    """
    check_images(images, labels, classifier)
    pixels, truth = drawn(images, labels)

    def ask(function: LogitsFn, pixels: np.ndarray) -> np.ndarray:
        return answers(function, pixels, batch_size)

    logits = ask(classifier.logits_fn, pixels)
    raw, declared = logits, "logits"
    if classifier.raw_fn is not None:
        raw, declared = ask(classifier.raw_fn, pixels), classifier.outputs
    check_finite(raw)
    _check_outputs(raw, declared)
    # As attacks ask it.
    graph = as_graph(classifier.logits_fn, jit_compile=jit_compile)
    in_graph = _compiled(lambda: ask(graph, pixels), jit_compile)
    if not allow_random:
        _check_repeats(
            logits,
            in_graph,
            lambda: ask(classifier.logits_fn, pixels),
        )
    if classifier.input_range is None:
        _check_range(
            truth,
            logits,
            lambda other: ask(classifier.fed(other).logits_fn, pixels),
            pixels.shape[-1],
        )
    return _chance(truth, logits)


def _compiled(ask: Callable[[], np.ndarray], by_xla: bool) -> np.ndarray:
    """Asks for answers that XLA may be unable to compile."""
    try:
        return ask()
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as e:
        if not by_xla:
            raise
        raise UsageError(
            "XLA cannot compile this model; say `jit_compile=false`. "
            f"Received: {in_one_line(e)}."
        ) from None


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


def _check_outputs(answers: np.ndarray, declared: str) -> None:
    kind = kind_of(answers)
    if kind == declared:
        return
    sums = answers.sum(axis=-1)
    remedy = f"say `outputs={kind}`"
    if declared == "logits":
        remedy += ", or, if a SavedModel calls them logits, rename that output"
    raise UsageError(
        f"The model was taken to answer with {declared}, but its answers are "
        f"{kind}. Received: answers from {answers.min():.4g} to "
        f"{answers.max():.4g} that add up to {sums.min():.4g} to "
        f"{sums.max():.4g} for each image; {remedy}."
    )


def _check_repeats(
    first: np.ndarray, in_graph: np.ndarray, again: Callable[[], np.ndarray]
) -> None:
    """Refuses a model that is no function of its images.

    Args:
        first: float32 logits [n, num_classes], asked eagerly.
        in_graph: The same, asked in a graph.
        again: Asks eagerly once more, to tell chance from the graph.
    """
    found = difference(first, in_graph)
    # Not `>`: a NaN in the second pass is a difference.
    if found <= OTHER_KERNELS:
        return
    if difference(first, again()) <= OTHER_KERNELS:
        raise UsageError(
            "The model answers otherwise in a graph, where attacks ask it, "
            "than eagerly. Received: logits that differ by "
            f"{found:.2g} of their median margin; compute the same in both, "
            "without `tf.executing_eagerly` or numbers kept from one call."
        )
    raise UsageError(
        "The model answers the same images differently each time, so the "
        "attacks' verdicts would not repeat. Received: logits that differ by "
        f"{found:.2g} of their median margin between two passes; switch off "
        "dropout and noise at inference, or say `allow_random`."
    )


def _check_range(
    labels: np.ndarray,
    logits: np.ndarray,
    ask: Callable[[InputRange], np.ndarray],
    channels: int,
) -> None:
    """Refuses a model that makes more sense of pixels of another range.

    Args:
        labels: int64 [n].
        logits: float32 [n, num_classes], on [0, 1].
        ask: Returns the logits for pixels of another range.
        channels: Of the images.
    """
    found = other_range(labels, logits, ask, channels)
    if found is not None:
        raise found.refusal()


def _chance(labels: np.ndarray, logits: np.ndarray) -> list[str]:
    """Says so if a classifier does no better than naming one class."""
    correct = _num_correct(logits, labels)
    chance = int(np.unique(labels, return_counts=True)[1].max())
    low, _ = wilson(correct, len(labels))
    if low > chance / len(labels):
        return []
    return [
        f"the classifier is at chance level: {correct} of {len(labels)} "
        f"images are correct while clean, and {chance} are of one class"
    ]


def _num_correct(logits: np.ndarray, labels: np.ndarray) -> int:
    return int(np.count_nonzero(logits.argmax(axis=-1) == labels))
