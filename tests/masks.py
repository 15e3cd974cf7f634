"""Networks that look robust and are not, for several tests."""

import numpy as np
import tensorflow as tf

_PIXELS = 16 * 16 * 3


def shadowed(logits_fn, *, bonus=None):
    """Ten more classes, just below the likeliest one, which attacks chase.

    Each is it, plus a decoy that never lets it win. Beside them, the other
    classes do not count for any loss of the logits.

    Args:
        logits_fn: From images [n, 16, 16, 3] to logits [n, 10].
        bonus: From images to what is added to the ten, if they are to win.

    Returns:
        From images to logits [n, 20].
    """
    directions = np.random.default_rng(0).normal(size=(_PIXELS, 10))
    directions = tf.constant(0.05 * directions, tf.float32)

    def answer(images):
        logits = 30 * logits_fn(images)
        top = tf.reduce_max(logits, axis=-1, keepdims=True)
        decoys = tf.sin(tf.reshape(images, [-1, _PIXELS]) @ directions)
        shadows = top - 0.2 + 0.1 * decoys
        if bonus is not None:
            shadows += bonus(images)
        return tf.concat([logits, shadows], axis=-1)

    return answer
