"""Scikit-learn's handwritten digits: real images that need no download."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tfgan_robust.data.resizing import resize
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import UsageError

_SIZE = 16
_TEST_SHARE = 0.2
_BRIGHTEST = 16


def load(
    data_dir: str | Path | None, image_size: int | None, split: str
) -> tuple[DatasetInfo, Split]:
    """Loads the 1,797 digits of 8 x 8 pixels, scaled up, as grey RGB.

    Args:
        data_dir: Must be None; the images come with scikit-learn.
        image_size: Side in pixels; None for 16.
        split: "train" or "test"; which image is in which never changes.

    Returns:
        Description and images.

    Raises:
        UsageError: if a directory is given.
    """
    if data_dir is not None:
        raise UsageError(
            "`dataset=digits` comes with scikit-learn and takes no `data_dir`. "
            f"Received: data_dir={data_dir}."
        )
    size = image_size or _SIZE
    digits = load_digits()
    parts = train_test_split(
        np.arange(len(digits.target)),
        test_size=_TEST_SHARE,
        stratify=digits.target,
        random_state=0,
    )
    positions = np.sort(parts[("train", "test").index(split)])
    small = digits.images[positions] * (255 / _BRIGHTEST)
    grey = np.rint(small).astype(np.uint8)[..., np.newaxis]
    info = DatasetInfo(
        class_names=tuple(str(digit) for digit in range(10)),
        image_shape=(size, size, 3),
        source=f"scikit-learn digits, 8 x 8 scaled to {size} x {size}",
    )
    images = np.repeat(resize(grey, size), 3, axis=-1)
    labels = digits.target[positions].astype(np.int64)
    return info, Split(images, labels)
