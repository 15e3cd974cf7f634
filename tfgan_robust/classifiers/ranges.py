"""Which pixels a model was made for, as far as labelled images show it."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.interface import UNIT, InputRange, candidates
from tfgan_robust.data.splits import representative_order
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn, as_floats
from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.reports.numbers import mcnemar

_NUM_IMAGES = 256
# How likely one range may be better than another by chance.
_BY_CHANCE = 0.01
# Of the loss at chance, which whoever learnt something stays below.
_LEARNT = 0.9
# Of all images, how many more must be right for a range to be taken unasked.
_FAR = 0.1
# Standard errors by which the loss of another range must be larger.
_CLEARLY = 3.0
# Of a mean loss; beyond them is rounding.
_DIGITS = 3
# What one says who can: where there is a flag for it.
_SAY = (
    "say that, and attacks stay on [0, 1], or say `input_range=0,1` to "
    "measure it as it is"
)


@dataclasses.dataclass(frozen=True)
class OtherRange:
    """A range in which a model makes more sense of images than in [0, 1].

    Attributes:
        input_range: Of those that are tried, the best.
        right: Images correct there.
        right_as_it_is: Images correct on [0, 1].
        total: Images looked at.
        rivals: Other ranges that are not clearly worse.
    """

    input_range: InputRange
    right: int
    right_as_it_is: int
    total: int
    rivals: tuple[str, ...]

    @property
    def is_clear(self) -> bool:
        """Whether it can be taken unasked."""
        gained = self.right - self.right_as_it_is
        return not self.rivals and gained >= _FAR * self.total

    def refusal(
        self, name: str = "The model", remedy: str = _SAY
    ) -> UsageError:
        """Returns the error of whoever does not take it unasked.

        Args:
            name: Of the model.
            remedy: What to do.
        """
        text = self.input_range.text
        rivals = "".join(f", about as many with {each}" for each in self.rivals)
        return UsageError(
            f"{name} expects other pixels than [0, 1]. Received: "
            f"{self.right_as_it_is} of {self.total} images correct on "
            f"[0, 1], {self.right} with `input_range={text}`{rivals}; "
            f"{remedy}."
        )

    @property
    def note(self) -> str:
        """What a reader of its figures must know."""
        return (
            f"the model expects pixels {self.input_range.text}, and was given "
            f"them: {self.right} of {self.total} images are correct so, "
            f"{self.right_as_it_is} on [0, 1]"
        )


def other_range(
    labels: np.ndarray,
    logits: np.ndarray,
    ask: Callable[[InputRange], np.ndarray],
    channels: int,
) -> OtherRange | None:
    """Looks for a range of which a model makes more sense than of [0, 1].

    One that learnt nothing can be better there by luck, since whole classes
    fall on one side of it. But its loss gives it away.

    Args:
        labels: int64 [n].
        logits: float32 [n, num_classes], on [0, 1].
        ask: Returns the logits for pixels of another range.
        channels: Of the images.

    Returns:
        The best one; None if [0, 1] is as good.
    """
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    learnt = -_LEARNT * np.sum(shares * np.log(shares))
    correct = logits.argmax(axis=-1) == labels
    if correct.all():
        return None
    found = {other: ask(other) for other in candidates(channels)}
    losses = {other: _losses(labels, found[other]) for other in found}
    sensible = [other for other in found if losses[other].mean() < learnt]
    if not sensible:
        return None
    right = {each: found[each].argmax(axis=-1) == labels for each in sensible}
    # Of equally good ones the surest, then the simplest, which is the first.
    best = max(
        sensible,
        key=lambda each: (
            np.count_nonzero(right[each]),
            -round(losses[each].mean(), _DIGITS),
        ),
    )
    if not _is_better(right[best], correct):
        return None
    rivals = [
        other.text
        for other in sensible
        if other is not best
        and not _is_better(right[best], right[other])
        and not _is_surer(losses[best], losses[other])
    ]
    return OtherRange(
        best,
        int(np.count_nonzero(right[best])),
        int(np.count_nonzero(correct)),
        len(labels),
        tuple(rivals),
    )


def as_made(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    batch_size: int = 128,
    name: str = "The model",
    remedy: str = _SAY,
) -> Classifier:
    """Returns a classifier that gets the pixels which it was made for.

    Args:
        classifier: One whose `input_range` is known is returned as it is.
        images: uint8, or float in [0, 1], [n, height, width, channels]; 256
            of them, drawn from all classes, are looked at.
        labels: Integer [n].
        batch_size: Images in a batch.
        name: What errors call it.
        remedy: What to do where the range is in doubt.

    Returns:
        It, with a note where it gets another range than [0, 1].

    Raises:
        UsageError: if it expects other pixels than [0, 1], and several ranges
            come into question.
    """
    if classifier.input_range is not None:
        return classifier
    pixels, truth = drawn(images, labels)
    found = other_range(
        truth,
        answers(classifier.logits_fn, pixels, batch_size),
        lambda other: answers(
            classifier.fed(other).logits_fn, pixels, batch_size
        ),
        pixels.shape[-1],
    )
    if found is None:
        return dataclasses.replace(classifier, input_range=UNIT)
    if not found.is_clear:
        raise found.refusal(name, remedy)
    fed, source = classifier.fed(found.input_range), classifier.source
    if source is not None:
        source = {**source, "input_range": found.input_range.text}
    return dataclasses.replace(
        fed, notes=(*classifier.notes, found.note), source=source
    )


def drawn(
    images: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images on which a classifier is tried, and their labels.

    Args:
        images: uint8, or float in [0, 1], [n, height, width, channels].
        labels: Integer [n].

    Returns:
        float32 in [0, 1] and int64, 256 drawn from all classes, or all if
        there are fewer.
    """
    labels = np.asarray(labels)
    chosen = representative_order(labels)[:_NUM_IMAGES]
    return as_floats(images[chosen]), labels[chosen].astype(np.int64)


def answers(
    function: LogitsFn, pixels: np.ndarray, batch_size: int
) -> np.ndarray:
    """Asks a function in batches.

    Args:
        function: From images to [batch, num_classes].
        pixels: float32 [n, height, width, channels] in [0, 1].
        batch_size: Images in a batch.

    Returns:
        float32 [n, num_classes].
    """
    starts = range(0, len(pixels), batch_size)
    batches = [tf.constant(pixels[s : s + batch_size]) for s in starts]
    return np.concatenate([function(batch).numpy() for batch in batches])


def _is_better(one: np.ndarray, other: np.ndarray) -> bool:
    """Tells whether more is correct than chance explains; each bool [n]."""
    gained = int(np.count_nonzero(one & ~other))
    lost = int(np.count_nonzero(other & ~one))
    return gained > lost and mcnemar(gained, lost) < _BY_CHANCE


def _is_surer(one: np.ndarray, other: np.ndarray) -> bool:
    """Tells whether losses, each [n], are clearly the smaller ones."""
    more = other - one
    error = more.std() / np.sqrt(len(more))
    return bool(more.mean() > _CLEARLY * error)


def _losses(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.asarray(cross_entropy(labels, logits), np.float64)
