"""Loads a data set by its name."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_robust import lazy
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import (
    DatasetInfo,
    Split,
    copies_of,
    hold_out,
    representative_order,
)
from tfgan_robust.errors import DataNotFoundError, UsageError
from tfgan_robust.identity import image_digests


def load_training(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    train_images: int | None = None,
    validation_images: int | None = None,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
) -> tuple[DatasetInfo, Split, Split]:
    """Loads the training split, with validation images held out of it.

    Args:
        dataset: A name of `DATASETS`: "cifar10", "digits", "folder",
            "tfds:NAME".
        data_dir: Where the data lie; see the loaders.
        image_size: Side in pixels to which images are resized; None for the
            data set's own.
        train_images: How many images to train on; None for all that
            validation leaves.
        validation_images: How many to hold out; None for 10 percent.
        seed: Decides which images are held out.
        class_names: See `load_test`.

    Returns:
        The data set's description, training and validation images. Copies of
        images, among them and of test images, are noted in the description.

    Raises:
        UsageError: for an unknown name, bad images, test images included, too
            few or classes that are not among `class_names`.
        DataNotFoundError: if the data are neither there nor downloadable.

    Example:
        >>> info, training, rest = load_training("digits", train_images=500)
        >>> info.image_shape, len(training.labels), len(rest.labels)
        ((16, 16, 3), 500, 143)
    """
    info, everything = _load(dataset, data_dir, image_size, "train")
    test = _load_test(dataset, data_dir, image_size)
    if test is not None and test.images.shape[1:] != info.image_shape:
        raise UsageError(
            f"Test images must be of the training images' shape, "
            f"{info.image_shape}; give `image_size`. Received: "
            f"{test.images.shape[1:]} in {info.source}."
        )
    notes = _copies(everything, test)
    info = dataclasses.replace(info, notes=(*info.notes, *notes))
    if class_names is not None:
        info, everything = _by_name(info, everything, class_names)
    training, validation = hold_out(
        everything,
        validation_images=validation_images,
        train_images=train_images,
        seed=seed,
    )
    return info, training, validation


def load_test(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[DatasetInfo, Split]:
    """Loads the test split, in an order whose first n images stand for all.

    That is the data set's own where it is mixed already, else that of
    `splits.representative_order`.

    Args:
        dataset: A name of `DATASETS`: "cifar10", "digits", "folder",
            "tfds:NAME".
        data_dir: Where the data lie; see the loaders.
        image_size: Side in pixels to which images are resized; None for the
            data set's own.
        class_names: What a classifier calls its classes, in its order: labels
            are made to follow that. None for the data set's own order.

    Returns:
        The data set's description and its test images. Classes without images
        are noted in the description.

    Raises:
        UsageError: for an unknown name, bad images or classes that are not
            among `class_names`.
        DataNotFoundError: if the data are neither there nor downloadable.

    Example:
        >>> info, test = load_test("digits")
        >>> test.images.shape, test.images.dtype
        ((360, 16, 16, 3), dtype('uint8'))
    """
    info, split = _load(dataset, data_dir, image_size, "test")
    if not DATASETS[dataset].mixed:
        order = representative_order(split.labels)
        split = Split(split.images[order], split.labels[order])
    if class_names is not None:
        info, split = _by_name(info, split, class_names)
    return info, split


def _by_name(
    info: DatasetInfo, split: Split, class_names: Sequence[str]
) -> tuple[DatasetInfo, Split]:
    """Numbers the labels as a classifier numbers its classes."""
    unknown = [name for name in info.class_names if name not in class_names]
    if unknown:
        raise UsageError(
            "The data must be of classes that the classifier knows "
            f"({', '.join(class_names)}). Received: {', '.join(unknown)} in "
            f"{info.source}."
        )
    numbers = np.array([list(class_names).index(n) for n in info.class_names])
    labels = numbers[split.labels].astype(np.int64)
    absent = [n for k, n in enumerate(class_names) if not np.any(labels == k)]
    notes = info.notes
    if absent:
        notes += (f"there are no images of {', '.join(absent)}",)
    described = dataclasses.replace(
        info, class_names=tuple(class_names), notes=notes
    )
    return described, Split(split.images, labels)


def _load_test(
    dataset: str, data_dir: str | Path | None, image_size: int | None
) -> Split | None:
    """Loads the test images if there are any.

    Bad ones are refused before a training rather than after it.
    """
    try:
        return _load(dataset, data_dir, image_size, "test")[1]
    except DataNotFoundError:
        return None


def _copies(training: Split, test: Split | None) -> Iterator[str]:
    """Says which images lie where they should not, or several times."""
    copied = copies_of(training.images)
    if copied:
        yield (
            f"{len(copied)} of {len(training.labels)} training images have "
            "copies among them, which stay on one side of the validation split"
        )
    if test is not None:
        trained = set(image_digests(training.images))
        shared = sum(d in trained for d in image_digests(test.images))
        if shared:
            yield (
                f"{shared} of {len(test.labels)} test images are among the "
                "training images too, so that accuracies on them are too high"
            )


def _load(
    dataset: str,
    data_dir: str | Path | None,
    image_size: int | None,
    split: str,
) -> tuple[DatasetInfo, Split]:
    loader = lazy.load(DATASETS[dataset].load)
    loaded = loader(data_dir, image_size, split)
    source = f"`load` of the data set {dataset}"
    if not _is_described_split(loaded):
        raise UsageError(
            f"{source} must return a DatasetInfo and a Split. "
            f"Received: {_kind(loaded)}."
        )
    info, (images, labels) = loaded
    _check_images(source, info, image_size, images)
    _check_labels(source, info, len(images), labels)
    return info, Split(images, labels)


def _is_described_split(loaded: Any) -> bool:
    return (
        isinstance(loaded, tuple)
        and len(loaded) == 2
        and isinstance(loaded[0], DatasetInfo)
        and isinstance(loaded[1], Split)
    )


def _check_images(
    source: str, info: DatasetInfo, image_size: int | None, images: Any
) -> None:
    side = (image_size, image_size)
    shape = (*(info.image_shape[:2] if image_size is None else side), 3)
    if info.image_shape != shape:
        raise UsageError(
            f"{source} must describe images of the shape {shape}. "
            f"Received: image_shape={info.image_shape}."
        )
    if not _is_array(images, np.uint8, shape) or len(images) == 0:
        raise UsageError(
            f"{source} must return images as uint8 [n, {str(shape)[1:-1]}]. "
            f"Received: {_kind(images)}."
        )


def _check_labels(
    source: str, info: DatasetInfo, count: int, labels: Any
) -> None:
    if not _is_array(labels, np.int64, ()) or len(labels) != count:
        raise UsageError(
            f"{source} must return labels as int64 [{count}], one for each "
            f"image. Received: {_kind(labels)}."
        )
    lowest, highest = labels.min(), labels.max()
    if lowest < 0 or highest >= info.num_classes:
        raise UsageError(
            f"{source} must return labels from 0 to {info.num_classes - 1}, "
            f"as it names {info.num_classes} classes. "
            f"Received: {lowest} to {highest}."
        )


def _is_array(value: Any, dtype: type, shape: tuple[int, ...]) -> bool:
    """Whether something is an array of any length, of elements as given."""
    return (
        isinstance(value, np.ndarray)
        and value.dtype == dtype
        and value.ndim == 1 + len(shape)
        and value.shape[1:] == shape
    )


def _kind(value: Any) -> str:
    """Describes what was received: "uint8 [60000, 32, 32, 3]"."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__
