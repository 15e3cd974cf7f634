"""What generators share: the images of a batch, and how noise is drawn."""

from collections.abc import Iterator

import tensorflow as tf


def parts(images: tf.Tensor, count: int) -> Iterator[tuple[int, slice]]:
    """Yields each generator's number with its own part of a batch.

    Parts that are known to be empty are left out: TensorFlow's convolutions
    do not take them everywhere.

    Args:
        images: The batch.
        count: Into how many equal parts it is divided.
    """
    known = images.shape[0]
    size = tf.shape(images)[0] if known is None else known
    for index in range(count):
        start, stop = index * size // count, (index + 1) * size // count
        if known is None or start < stop:
            yield index, slice(start, stop)


def latent_noise(
    images: tf.Tensor, channels: int, seed: tf.Tensor
) -> tf.Tensor:
    """Draws what a generator sees as z.

    Args:
        images: What it perturbs, float32 [batch, height, width, channels].
        channels: Channels of the noise.
        seed: int32 [2].

    Returns:
        float32 [batch, height, width, channels of the noise], normal.
    """
    shape = tf.unstack(tf.shape(images)[:3])
    return tf.random.stateless_normal([*shape, channels], seed)
