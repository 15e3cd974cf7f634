"""Images in memory, and how validation images are held out."""

import dataclasses
from typing import NamedTuple

import numpy as np

from tfgan_robust.errors import UsageError

_VALIDATION_SHARE = 0.1


class Split(NamedTuple):
    """Images and their labels.

    Attributes:
        images: uint8 [n, height, width, 3].
        labels: int64 [n].
    """

    images: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What networks and reports need to know of a data set.

    Attributes:
        class_names: In the order of the labels.
        image_shape: Height, width, channels.
        source: One line for reports.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    source: str

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


def hold_out(
    split: Split,
    *,
    validation_images: int | None,
    train_images: int | None,
    seed: int,
) -> tuple[Split, Split]:
    """Divides a training split into training and validation images.

    Both parts hold the classes in the proportions of the whole, as far as
    whole images allow.

    Args:
        split: The training split.
        validation_images: How many to hold out; None for 10 percent.
        train_images: How many of the others to keep; None for all.
        seed: Decides which; the same seed gives the same images.

    Returns:
        Training and validation images, without overlap.

    Raises:
        UsageError: if there are not that many images, or none of a part is
            asked for.
    """
    total = len(split.labels)
    held_out = validation_images
    if held_out is None:
        held_out = max(1, int(total * _VALIDATION_SHARE))
    kept = train_images
    if kept is None:
        kept = max(1, total - held_out)
    if held_out < 1 or kept < 1:
        raise UsageError(
            "`validation_images` and `train_images` must be at least 1. "
            f"Received: {validation_images} and {train_images}."
        )
    if held_out + kept > total:
        raise UsageError(
            f"The training split has {total} images, too few for "
            f"{held_out} validation images and {kept} training "
            "images; lower `validation_images` or `train_images`."
        )
    order = _interleaved_by_class(split.labels, seed)
    validation, training = order[:held_out], order[held_out : held_out + kept]
    return (
        Split(split.images[training], split.labels[training]),
        Split(split.images[validation], split.labels[validation]),
    )


def _interleaved_by_class(labels: np.ndarray, seed: int) -> np.ndarray:
    """Orders examples so that every prefix is close to stratified."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(position[shuffled], kind="stable")]
