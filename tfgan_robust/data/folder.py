"""Any images in folders: train/<class>/*.png, test/<class>/*.png."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfgan_robust.data.resizing import resize
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import DataNotFoundError, UsageError

SPLITS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg")
_LAYOUT = "D/train/<class>/*.png (or .jpg) and D/test/<class>/*.png"


def load(
    data_dir: str | Path | None, image_size: int | None, split: str
) -> tuple[DatasetInfo, Split]:
    """Loads PNG and JPEG images through `tfds.ImageFolder`.

    Args:
        data_dir: Holds train/<class>/ and test/<class>/.
        image_size: Side in pixels to which images are resized; None if all
            are squares of one size.
        split: "train" or "test".

    Returns:
        Description and images, grey ones as three equal channels, without
        transparency.

    Raises:
        UsageError: for one class only, an empty class, classes that differ
            between the splits, an unreadable image, sizes that differ.
        DataNotFoundError: if there are no such folders.
    """
    if data_dir is None:
        raise UsageError(f"dataset=folder needs --data_dir=D with {_LAYOUT}.")
    root = Path(data_dir).expanduser()
    class_names = _check_layout(root)
    builder = tfds.ImageFolder(str(root))
    examples = list(
        builder.as_dataset(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        ).as_numpy_iterator()
    )
    # By name, as the builder shuffles.
    examples.sort(key=lambda example: example["image/filename"])
    images = _as_array(
        [
            (example["image/filename"].decode(), _decode(example))
            for example in examples
        ],
        image_size,
    )
    names = builder.info.features["label"].names
    info = DatasetInfo(
        class_names=class_names,
        image_shape=tuple(images.shape[1:]),
        source=f"folder {root.name}",
    )
    labels = [class_names.index(names[e["label"]]) for e in examples]
    return info, Split(images, np.array(labels, np.int64))


def _check_layout(root: Path) -> tuple[str, ...]:
    """Returns the class names, which both splits must share."""
    found = {}
    for split in SPLITS:
        folder = root / split
        if not folder.is_dir():
            raise DataNotFoundError(
                f"{folder} is no folder; --data_dir=D must hold {_LAYOUT}."
            )
        found[split] = sorted(p for p in folder.iterdir() if p.is_dir())
        for class_folder in found[split]:
            _check_class(class_folder)
    names = {
        split: [p.name for p in folders] for split, folders in found.items()
    }
    only = set(names["train"]) ^ set(names["test"])
    if only:
        raise UsageError(
            "Classes must be the same in train and test. Received in one "
            f"only: {', '.join(sorted(only))}."
        )
    if len(names["train"]) < 2:
        raise UsageError(
            f"{root} needs at least two classes. "
            f"Received: {', '.join(names['train']) or 'none'}."
        )
    return tuple(names["train"])


def _check_class(folder: Path) -> None:
    images = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES]
    if not images:
        raise UsageError(
            f"The class folder {folder} holds no {', '.join(SUFFIXES)} "
            "image; add some or remove it."
        )
    for image in images:
        if not (image.is_file() and os.access(image, os.R_OK)):
            raise _unreadable(image)


def _unreadable(image: str | Path) -> UsageError:
    return UsageError(
        f"{image} is no readable PNG or JPEG image; replace or remove it."
    )


def _decode(example: dict[str, Any]) -> np.ndarray:
    try:
        decoded = tf.io.decode_image(
            example["image"], channels=3, expand_animations=False
        )
    except tf.errors.InvalidArgumentError:
        raise _unreadable(example["image/filename"].decode()) from None
    return decoded.numpy()


def _as_array(
    named: list[tuple[str, np.ndarray]], image_size: int | None
) -> np.ndarray:
    if image_size is not None:
        return np.concatenate(
            [resize(im[np.newaxis], image_size) for _, im in named]
        )
    first_name, first = named[0]
    for name, image in named:
        if image.shape != first.shape or image.shape[0] != image.shape[1]:
            raise UsageError(
                "Without --image_size all images must be squares of one "
                f"size. Received: {first_name} of "
                f"{first.shape[0]} x {first.shape[1]} and {name} of "
                f"{image.shape[0]} x {image.shape[1]} pixels; give "
                "--image_size=32, for example."
            )
    return np.stack([image for _, image in named])
