"""Images in memory, and how validation images are held out."""

import dataclasses
from typing import NamedTuple

import numpy as np

from tfgan_robust.errors import UsageError
from tfgan_robust.identity import image_digests

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
        notes: What a reader of any figure on these images must know.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    source: str
    notes: tuple[str, ...] = ()

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
    whole images allow, and each of two images or more. Equal images come into
    the same part.

    Args:
        split: The training split.
        validation_images: How many to hold out; None for 10 percent.
        train_images: How many of the others to keep; None for all.
        seed: Decides which; the same seed gives the same images.

    Returns:
        Training and validation images, without overlap. Where copies of an
        image do not fit in, there are fewer for validation than asked for.

    Raises:
        UsageError: if there are not that many images, none of a part is
            asked for, or all that would be held out have more copies.
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
    validation = _held_out(order, held_out, split)
    if not len(validation):
        raise UsageError(
            "No image can be held out without one of its copies; raise "
            f"`validation_images`. Received: {held_out} of {total} images."
        )
    training = order[~np.isin(order, validation)][:train_images]
    return (
        Split(split.images[training], split.labels[training]),
        Split(split.images[validation], split.labels[validation]),
    )


def _held_out(order: np.ndarray, count: int, split: Split) -> np.ndarray:
    """Returns the first images of an order, as far as `hold_out` allows."""
    first = _with_each_class(order[:count], order, split.labels)
    rest = order[~np.isin(order, first)]
    copies = copies_of(split.images)
    chosen: list[int] = []
    met: set[int] = set()
    for number in np.concatenate([first, rest]).tolist():
        group = copies.get(number, [number])
        # A group comes with the first of its images, or not at all.
        if number not in met and len(chosen) + len(group) <= count:
            chosen += group
        met.update(group)
        if len(chosen) == count:
            break
    return np.array(chosen, np.int64)


def _with_each_class(
    first: np.ndarray, order: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Puts an image of each absent class in the last place of the largest."""
    first, classes = first.copy(), np.unique(labels)
    if len(first) < len(classes):
        return first
    for label in classes:
        members = order[labels[order] == label]
        if len(members) > 1 and label not in labels[first]:
            largest = np.bincount(labels[first]).argmax()
            place = np.flatnonzero(labels[first] == largest)[-1]
            first[place] = members[0]
    return first


def copies_of(images: np.ndarray) -> dict[int, list[int]]:
    """Finds equal images.

    Args:
        images: uint8 [n, height, width, channels].

    Returns:
        For each image that has copies, the positions of all of them, itself
        included.
    """
    groups: dict[bytes, list[int]] = {}
    for number, digest in enumerate(image_digests(images)):
        groups.setdefault(digest, []).append(number)
    several = [group for group in groups.values() if len(group) > 1]
    return {number: group for group in several for number in group}


def representative_order(labels: np.ndarray) -> np.ndarray:
    """Returns one fixed order whose first n images stand for all.

    Args:
        labels: Integer [n].

    Returns:
        int64 [n], positions: drawn at random, and so that every beginning
        holds the classes nearly in the proportions of the whole.
    """
    return _interleaved_by_class(labels, seed=0)


def _interleaved_by_class(labels: np.ndarray, seed: int) -> np.ndarray:
    """Orders examples so that every prefix is close to stratified."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(position[shuffled], kind="stable")]
