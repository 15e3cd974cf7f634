"""Batches for training and for evaluation."""

from typing import Any

import tensorflow as tf

from tfgan_robust.data.augmentation import Places, draw_places, move
from tfgan_robust.data.splits import Split
from tfgan_robust.errors import UsageError


def training_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    horizontal_flip: bool = False,
    max_shift: float = 0.1,
    with_places: bool = False,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Yields shuffled, augmented batches without end (section 4).

    Batch number s is a function of `seed` and s alone, so that a stream
    started at `start_step` goes on exactly where another one stopped. Each
    epoch is shuffled anew and its remainder dropped.

    Args:
        split: The training images, at least `batch_size`.
        batch_size: Images in a batch.
        seed: Seed of order and augmentation.
        start_step: Number of the first batch.
        horizontal_flip: Whether half of the images are mirrored.
        max_shift: Largest shift as a share of the side; edges repeat.
        with_places: Whether images come with where they are from.
        part: Which part of each batch is wanted, from 0, and of how many
            equal ones. Parts of one batch make it up in their order, however
            many there are.

    Returns:
        Images, float32 [batch, height, width, 3] in [0, 1], and labels,
        int64 [batch], of the part. With places instead of images a pair of
        images and `augmentation.Places`.

    Raises:
        UsageError: if there are fewer images than make a batch, or it has no
            such parts.

    Example:
        >>> import tfgan_robust as tr
        >>> _, training, _ = tr.load_training("digits")
        >>> batches = training_batches(training, batch_size=32, seed=0)
        >>> images, labels = next(iter(batches))
        >>> images.shape, labels.shape
        (TensorShape([32, 16, 16, 3]), TensorShape([32]))
    """
    count = len(split.labels)
    if count < batch_size:
        raise UsageError(
            f"A batch cannot exceed the split's {count} images. "
            f"Received: batch_size={batch_size}."
        )
    own = _places_of(part, batch_size)
    images, labels = _as_tensors(split)

    def load(step: tf.Tensor, indices: tf.Tensor) -> tuple[Any, tf.Tensor]:
        places = draw_places(
            indices,
            split.images.shape[1:3],
            tf.random.experimental.stateless_fold_in([seed, 1], step),
            horizontal_flip=horizontal_flip,
            max_shift=max_shift,
        )
        # Drawn for the whole batch, whoever reads which part of it.
        places = Places(*(each[own] for each in places))
        moved = _as_floats(move(tf.gather(images, places.indices), places))
        seen = (moved, places) if with_places else moved
        return seen, tf.gather(labels, places.indices)

    first_epoch, skipped = divmod(start_step, count // batch_size)
    return (
        tf.data.Dataset.range(first_epoch, tf.int64.max)
        .flat_map(lambda epoch: _shuffled(count, batch_size, (seed, epoch)))
        .skip(skipped)
        .enumerate(start_step)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation_batches(split: Split, *, batch_size: int) -> tf.data.Dataset:
    """Yields every image once, in order, in batches of one size.

    Args:
        split: The images.
        batch_size: Images in a batch; the last batch is padded to it.

    Returns:
        Images, float32 [batch, height, width, 3] in [0, 1]; labels, int64
        [batch]; mask, float32 [batch], 0 for padding.
    """
    count = len(split.labels)
    images, labels = _as_tensors(split)

    def load(start: tf.Tensor) -> tuple[tf.Tensor, ...]:
        positions = start + tf.range(batch_size, dtype=tf.int64)
        inside = tf.minimum(positions, count - 1)
        mask = tf.cast(positions < count, tf.float32)
        scaled = _as_floats(tf.gather(images, inside))
        return scaled, tf.gather(labels, inside), mask

    starts = tf.data.Dataset.range(0, count, batch_size)
    return starts.map(load).prefetch(tf.data.AUTOTUNE)


def _places_of(part: tuple[int, int], batch_size: int) -> slice:
    """Returns where in a batch a part of it lies; see `training_batches`."""
    index, parts = part
    if batch_size % parts != 0:
        raise UsageError(
            f"A batch must have {parts} equal parts. "
            f"Received: batch_size={batch_size}."
        )
    size = batch_size // parts
    return slice(index * size, (index + 1) * size)


def _as_tensors(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    # Batches are cut on the host; a GPU would hold the whole split.
    with tf.device("CPU:0"):
        return tf.constant(split.images), tf.constant(split.labels)


def _shuffled(
    count: int, batch_size: int, seed: tuple[int, tf.Tensor]
) -> tf.data.Dataset:
    """Positions of an epoch's images, int32 [batch], remainder dropped."""
    order = tf.random.experimental.stateless_shuffle(
        tf.range(count), [seed[0], tf.cast(seed[1], tf.int32)]
    )
    return tf.data.Dataset.from_tensor_slices(order).batch(
        batch_size, drop_remainder=True
    )


def _as_floats(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32) / 255
