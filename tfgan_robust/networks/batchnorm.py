"""Batch normalisation by TensorFlow's fused kernel."""

from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

_DTYPES = (tf.float32, tf.bfloat16, tf.float16)
# Of other multiples the CPU's kernel takes ten to fifty times as long in
# bfloat16, the conversion to float32 and back hardly any.
_CHANNELS_OF_BFLOAT16 = 16


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, which computes the same by one operation, sooner.

    Where Keras takes moments and normalises by operations of their own, under
    mixed precision in float32, TensorFlow's kernel reads images once, in the
    precision of the others; statistics are float32 in any case. Arguments,
    weights and files are those of `keras.layers.BatchNormalization`, whose
    own computation remains where the kernel has none: over other axes, with a
    mask or renormalisation, in float64, where statistics span devices, and, in
    inference mode on a GPU, where operations must be deterministic.

    The moving variance is that of the batch, as Keras stores it, without the
    factor n / (n - 1) of the kernel's own.
    """

    # Files hold Keras's layer by this name, and so load without this package.
    __module__ = "keras.layers"

    def call(
        self,
        inputs: tf.Tensor,
        training: bool | None = None,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Normalises.

        Args:
            inputs: Floating point [batch, height, width, channels].
            training: Whether by the batch's own statistics, which then move
                the averages.
            mask: See Keras.

        Returns:
            Shaped as `inputs`, of the layer's compute dtype.
        """
        by_batch = bool(training and self.trainable)
        if not self._has_kernel(inputs, mask, by_batch):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1:]
        dtype = inputs.dtype
        if dtype == tf.bfloat16 and channels[0] % _CHANNELS_OF_BFLOAT16:
            inputs = tf.cast(inputs, tf.float32)
        averages = (self.moving_mean.value, self.moving_variance.value)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            _value(self.gamma, tf.ones, channels),
            _value(self.beta, tf.zeros, channels),
            *(() if by_batch else averages),
            epsilon=self.epsilon,
            is_training=by_batch,
        )
        if by_batch:
            count = tf.cast(tf.size(inputs) // channels[0], tf.float32)
            biased = variance * tf.maximum(count - 1, 1) / count
            self._average(self.moving_mean, mean, count > 0)
            self._average(self.moving_variance, biased, count > 0)
        return tf.cast(outputs, dtype)

    def _has_kernel(
        self, inputs: Any, mask: tf.Tensor | None, by_batch: bool
    ) -> bool:
        rank = len(inputs.shape)
        return (
            rank == 4
            and self.axis in (-1, rank - 1)
            and mask is None
            and not self.renorm
            and inputs.dtype in _DTYPES
            and not (by_batch and self.synchronized and _spans_devices())
            and (by_batch or not _lacks_gradient())
        )

    def _average(
        self, average: keras.Variable, new: tf.Tensor, seen: tf.Tensor
    ) -> None:
        """Moves an average, unless there is nothing whose mean it follows."""
        share = self.momentum
        moved = average * share + tf.stop_gradient(new) * (1 - share)
        average.assign(tf.where(seen, moved, average))


def _value(variable: Any, default: Any, shape: Any) -> tf.Tensor:
    return default(shape) if variable is None else variable.value


def _lacks_gradient() -> bool:
    """Whether the kernel refuses to differentiate inference mode."""
    gpus = tf.config.list_physical_devices("GPU")
    return bool(gpus) and is_op_determinism_enabled()


def _spans_devices() -> bool:
    replica = tf.distribute.get_replica_context()
    return replica is not None and replica.num_replicas_in_sync > 1
