"""What a batch that a model is given holds."""

from typing import Any

import keras
import tensorflow as tf


def unpack(data: Any) -> tuple[Any, tf.Tensor, tf.Tensor | None]:
    """Takes a batch apart.

    Args:
        data: Images, labels as any integers, and maybe weights of examples.

    Returns:
        The images, maybe with their places, labels as int64, since TensorFlow's
        kernels do not take all kinds that data sets have, and the weights.
    """
    images, labels, importance = keras.utils.unpack_x_y_sample_weight(data)
    return images, tf.cast(labels, tf.int64), importance
