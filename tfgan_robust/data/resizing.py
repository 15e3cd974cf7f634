"""Brings images to the size that was asked for."""

import numpy as np
import tensorflow as tf

# Enough to be fast, few enough not to hold the data twice as float32.
_CHUNK = 1024


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Resizes images bilinearly, with antialiasing when they shrink.

    Args:
        images: uint8 [n, height, width, channels].
        size: New height and width in pixels.

    Returns:
        uint8 [n, size, size, channels].
    """
    if images.shape[1:3] == (size, size):
        return images
    chunks = [
        tf.image.resize(images[i : i + _CHUNK], (size, size), antialias=True)
        for i in range(0, len(images), _CHUNK)
    ]
    return np.concatenate(
        [np.clip(np.rint(c), 0, 255).astype(np.uint8) for c in chunks]
    )


def centre(image: np.ndarray) -> np.ndarray:
    """Returns the largest square in the middle, which shows nothing bent.

    Args:
        image: [height, width, channels].
    """
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]
