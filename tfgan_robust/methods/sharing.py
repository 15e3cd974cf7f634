"""What generators share: the images of a batch, and how noise is drawn."""

import tensorflow as tf


def own_part(images: tf.Tensor, index: int, count: int) -> slice:
    """Returns which images of a batch are one generator's own.

    Args:
        images: The batch.
        index: Which generator.
        count: Into how many equal parts it is divided.
    """
    size = tf.shape(images)[0]
    return slice(index * size // count, (index + 1) * size // count)


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
