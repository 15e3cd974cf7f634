"""Dropout by fewer random bits."""

import keras
import tensorflow as tf

# Of each value's own random number; rates are rounded to 1 / 2 ** 16.
_BITS = 16
_DRAWN, _SPLIT = tf.uint32, tf.uint16


class Dropout(keras.layers.Dropout):
    """Keras's layer, which draws half as many random bits.

    Random numbers are most of what dropout costs: on a CPU a third of a
    training step of the paper's classifier. One draw of 32 bits serves two
    values here, which are kept with a probability that is off by 1 / 2 ** 17
    at most, and scaled by what it is. Arguments and files are those of
    `keras.layers.Dropout`, whose own computation remains for a `noise_shape`.
    """

    # Files hold Keras's layer by this name, and so load without this package.
    __module__ = "keras.layers"

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Drops values.

        Args:
            inputs: Floating point, of any shape.
            training: Whether to; otherwise inputs are returned.

        Returns:
            Shaped as `inputs`: each value 0, or divided by the share that is
            kept.
        """
        dropped = round(self.rate * 2**_BITS)
        some = 0 < dropped < 2**_BITS
        if not training or self.noise_shape is not None or not some:
            return super().call(inputs, training=training)
        drawn = self._draw(tf.shape(inputs))
        kept = tf.cast(drawn >= tf.constant(dropped, _SPLIT), inputs.dtype)
        return inputs * kept * (1 / (1 - dropped / 2**_BITS))

    def _draw(self, shape: tf.Tensor) -> tf.Tensor:
        # What Keras does with its seeds, which XLA takes as int32 only.
        seed = self.seed_generator.next()
        seed = tf.cast(tf.math.floormod(seed, tf.int32.max - 1), tf.int32)
        size = tf.reduce_prod(shape)
        words = tf.random.stateless_uniform(
            [(size + 1) // 2], seed, minval=None, maxval=None, dtype=_DRAWN
        )
        halves = tf.reshape(tf.bitcast(words, _SPLIT), [-1])
        return tf.reshape(halves[:size], shape)
