"""What generators share: the images of a batch, and how noise is drawn."""

from collections.abc import Callable

import tensorflow as tf


def in_parts(
    images: tf.Tensor, count: int, run: Callable[[int, slice], tf.Tensor]
) -> tf.Tensor:
    """Lets each generator answer for its own part of a batch.

    None is asked of an empty part, which TensorFlow's convolutions do not take
    everywhere: where nobody knows how many images there are, it is asked of
    one, and the answer thrown away.

    Args:
        images: The batch.
        count: Into how many equal parts it is divided.
        run: From a generator's number and part to its answers.

    Returns:
        All answers, in the order of the images.
    """
    known = images.shape[0]
    size = tf.shape(images)[0] if known is None else known
    found = []
    for index in range(count):
        start, stop = index * size // count, (index + 1) * size // count
        if known is None:
            answers = run(index, slice(start, tf.maximum(stop, start + 1)))
            found.append(answers[: stop - start])
        elif start < stop:
            found.append(run(index, slice(start, stop)))
    return tf.concat(found, 0)


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
