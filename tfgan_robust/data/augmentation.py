"""Shifts and mirror images, drawn by a seed, and undone."""

from typing import NamedTuple

import tensorflow as tf


class Places(NamedTuple):
    """Where the images of a batch are from, and how they were moved.

    Attributes:
        indices: int32 [batch], their positions in the split.
        rows: int32 [batch, 1], how far below a pixel it was read from.
        columns: int32 [batch, 1], how far to the right.
        mirrored: bool [batch, 1], whether columns were then reversed.
    """

    indices: tf.Tensor
    rows: tf.Tensor
    columns: tf.Tensor
    mirrored: tf.Tensor


def draw_places(
    indices: tf.Tensor,
    sides: tuple[int, int],
    seed: tf.Tensor,
    *,
    horizontal_flip: bool,
    max_shift: float,
) -> Places:
    """Draws how each image of a batch is moved.

    Args:
        indices: int32 [batch].
        sides: Height and width of the images, in pixels.
        seed: [2], an integer seed.
        horizontal_flip: Whether each image is mirrored with probability 1/2.
        max_shift: Largest shift as a share of the side, rounded down to whole
            pixels.
    """
    shape = [tf.shape(indices)[0], 1]
    row_seed, column_seed, flip_seed = tf.unstack(
        tf.random.experimental.stateless_split(seed, 3)
    )
    rows, columns = (
        tf.random.stateless_uniform(shape, own, -reach, reach + 1, tf.int32)
        for own, reach in (
            (row_seed, int(max_shift * sides[0])),
            (column_seed, int(max_shift * sides[1])),
        )
    )
    mirrored = tf.zeros(shape, tf.bool)
    if horizontal_flip:
        mirrored = tf.random.stateless_uniform(shape, flip_seed) < 0.5
    return Places(indices, rows, columns, mirrored)


def move(images: tf.Tensor, places: Places) -> tf.Tensor:
    """Shifts, and mirrors, each image of a batch.

    Where a shift moves the edge inwards, the edge is repeated.

    Args:
        images: Any dtype, [batch, height, width, channels].
        places: From `draw_places`.

    Returns:
        As `images`.
    """
    return _read(images, places, 1)


def move_back(images: tf.Tensor, places: Places) -> tf.Tensor:
    """Undoes `move`; what was shifted out of an image is its edge again.

    Args:
        images: As from `move`.
        places: What it was given.
    """
    # Reversing, then shifting, is shifting the other way, then reversing.
    columns = tf.where(places.mirrored, -places.columns, places.columns)
    return _read(images, places._replace(columns=columns), -1)


def _read(images: tf.Tensor, places: Places, sign: int) -> tf.Tensor:
    height, width = images.shape[1:3]
    rows = _clipped(height, sign * places.rows)
    columns = _clipped(width, sign * places.columns)
    columns = tf.where(places.mirrored, width - 1 - columns, columns)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def _clipped(size: int, shift: tf.Tensor) -> tf.Tensor:
    """Positions to read from, int32 [batch, size]."""
    return tf.clip_by_value(tf.range(size)[tf.newaxis] + shift, 0, size - 1)
