"""Batches for training and for evaluation."""

import tensorflow as tf

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

    Returns:
        Images, float32 [batch, height, width, 3] in [0, 1], and labels,
        int64 [batch].

    Raises:
        UsageError: if there are fewer images than make a batch.

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
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def load(step: tf.Tensor, indices: tf.Tensor) -> tuple[tf.Tensor, ...]:
        augmented = augment(
            tf.gather(images, indices),
            tf.random.experimental.stateless_fold_in([seed, 1], step),
            horizontal_flip=horizontal_flip,
            max_shift=max_shift,
        )
        return _as_floats(augmented), tf.gather(labels, indices)

    first_epoch, skipped = divmod(start_step, count // batch_size)
    return (
        tf.data.Dataset.range(first_epoch, tf.int64.max)
        .flat_map(lambda epoch: _shuffled(count, batch_size, (seed, epoch)))
        .skip(skipped)
        .enumerate(start_step)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def augment(
    images: tf.Tensor,
    seed: tf.Tensor,
    *,
    horizontal_flip: bool,
    max_shift: float,
) -> tf.Tensor:
    """Shifts, and perhaps mirrors, each image of a batch.

    Where a shift moves the edge inwards, the edge is repeated.

    Args:
        images: Any dtype, [batch, height, width, channels].
        seed: [2], an integer seed.
        horizontal_flip: Whether each image is mirrored with probability 1/2.
        max_shift: Largest shift as a share of the side, rounded down to whole
            pixels.

    Returns:
        As `images`.
    """
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    row_seed, column_seed, flip_seed = tf.unstack(
        tf.random.experimental.stateless_split(seed, 3)
    )
    rows = _shifted(height, batch, max_shift, row_seed)
    columns = _shifted(width, batch, max_shift, column_seed)
    if horizontal_flip:
        mirrored = tf.random.stateless_uniform([batch, 1], flip_seed) < 0.5
        columns = tf.where(mirrored, width - 1 - columns, columns)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


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
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def load(start: tf.Tensor) -> tuple[tf.Tensor, ...]:
        positions = start + tf.range(batch_size, dtype=tf.int64)
        inside = tf.minimum(positions, count - 1)
        mask = tf.cast(positions < count, tf.float32)
        scaled = _as_floats(tf.gather(images, inside))
        return scaled, tf.gather(labels, inside), mask

    starts = tf.data.Dataset.range(0, count, batch_size)
    return starts.map(load).prefetch(tf.data.AUTOTUNE)


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


def _shifted(
    size: int, batch: tf.Tensor, max_shift: float, seed: tf.Tensor
) -> tf.Tensor:
    """Positions to read from, int32 [batch, size]."""
    reach = int(max_shift * size)
    shift = tf.random.stateless_uniform(
        [batch, 1], seed, -reach, reach + 1, tf.int32
    )
    return tf.clip_by_value(tf.range(size)[tf.newaxis] + shift, 0, size - 1)
