"""What pixels tell of what was done to images before they came here."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import dctn

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# Sets that are published without it; others may be JPEG files by nature.
_NEVER_JPEG = ("cifar10",)
# How a source says so.
COMPRESSED = " after JPEG compression"
_BLOCK = 8
# Luminance of red, green and blue (ITU-R BT.601), which JPEG compresses.
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# Images that are looked at.
LOOKED_AT = 500
# JPEG rounds most high frequencies of a block to zero. Where blocks begin
# elsewhere, they are as large as ever, unless the images are smooth anyhow.
_ZERO, _MORE = 1.0, 0.3


def source_of(
    info: "tfds.core.DatasetInfo",
    called: str,
    stored: Callable[[], np.ndarray],
) -> str:
    """Says where images come from, and whether they are as published.

    Figures on compressed images are not those of the data set.

    Args:
        info: Of a prepared set.
        called: The set.
        stored: Returns images as they lie there, uint8 [n, height, width, 3].
    """
    compressed = info.name in _NEVER_JPEG and was_jpeg(stored())
    done = COMPRESSED if compressed else ""
    return f"{called}{done}, tensorflow-datasets {info.version}"


def was_jpeg(images: np.ndarray) -> bool:
    """Tells whether images were compressed as JPEG at their present size.

    Args:
        images: uint8 [n, height, width, 3], of at least 16 x 16 pixels.
    """
    looked = images[:LOOKED_AT]
    aligned = _share_of_zeros(looked)
    moved = _share_of_zeros(looked[:, _BLOCK // 2 :, _BLOCK // 2 :])
    return aligned > moved + _MORE


def _share_of_zeros(images: np.ndarray) -> float:
    """Returns the share of high frequencies of 8 x 8 blocks that are zero."""
    count, height, width, _ = images.shape
    down, across = height // _BLOCK, width // _BLOCK
    grey = images[:, : down * _BLOCK, : across * _BLOCK] @ _LUMINANCE
    blocks = grey.reshape(count, down, _BLOCK, across, _BLOCK)
    frequencies = dctn(blocks, axes=(2, 4), norm="ortho")
    half = _BLOCK // 2
    high = frequencies[:, :, half:, :, half:]
    return float((np.abs(high) < _ZERO).mean())
