"""Any images in folders: train/<class>/*.png, test/<class>/*.png."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfgan_robust.data.resizing import resize
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import DataNotFoundError, UsageError

SPLITS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg")
_LAYOUT = "D/train/<class>/*.png (or .jpg) and D/test/<class>/*.png"


def load(
    data_dir: str | Path | None, image_size: int | None, split: str
) -> tuple[DatasetInfo, Split]:
    """Loads PNG and JPEG images, ordered by path; classes by name.

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
        raise UsageError(f"dataset=folder needs data_dir=D with {_LAYOUT}.")
    root = Path(data_dir).expanduser()
    class_names = _check_layout(root)
    paths = [p for name in class_names for p in _images(root / split / name)]
    # As text, not part by part: this order decides which images are held
    # out, in earlier runs too.
    paths.sort(key=str)
    images = _as_array(paths, image_size)
    info = DatasetInfo(
        class_names=class_names,
        image_shape=images.shape[1:],
        source=f"folder {root.name}",
    )
    labels = [class_names.index(path.parent.name) for path in paths]
    return info, Split(images, np.array(labels, np.int64))


def _check_layout(root: Path) -> tuple[str, ...]:
    """Class names, in the order of labels; both splits must share them."""
    found = {}
    for split in SPLITS:
        folder = root / split
        if not folder.is_dir():
            raise DataNotFoundError(
                f"{folder} is no folder; data_dir=D must hold {_LAYOUT}."
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
    images = _images(folder)
    if not images:
        raise UsageError(
            f"The class folder {folder} holds no {', '.join(SUFFIXES)} "
            "image; add some or remove it."
        )
    for image in images:
        if not (image.is_file() and os.access(image, os.R_OK)):
            raise _unreadable(image)


def _images(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES]


def _unreadable(image: Path) -> UsageError:
    return UsageError(
        f"{image} is no readable PNG or JPEG image; replace or remove it."
    )


def _decode(image: Path) -> np.ndarray:
    try:
        return tf.io.decode_image(
            image.read_bytes(), channels=3, expand_animations=False
        ).numpy()
    except tf.errors.InvalidArgumentError:
        raise _unreadable(image) from None


def _as_array(paths: list[Path], image_size: int | None) -> np.ndarray:
    if image_size is not None:
        return np.concatenate(
            [resize(_decode(path)[np.newaxis], image_size) for path in paths]
        )
    images = [_decode(path) for path in paths]
    first = images[0]
    for path, image in zip(paths, images, strict=True):
        if image.shape != first.shape or image.shape[0] != image.shape[1]:
            raise UsageError(
                "Without image_size all images must be squares of one "
                f"size. Received: {paths[0]} of "
                f"{first.shape[0]} x {first.shape[1]} and {path} of "
                f"{image.shape[0]} x {image.shape[1]} pixels; give "
                "image_size=32, for example."
            )
    return np.stack(images)
