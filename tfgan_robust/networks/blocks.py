"""What our networks are made of. x is [batch, height, width, channels]."""

from typing import Any

import keras

from tfgan_robust.networks.batchnorm import BatchNormalization


def scaled(filters: int, width: float) -> int:
    """Returns a number of filters times a width, at least 1."""
    return max(1, round(filters * width))


def convolve(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    name: str,
    *,
    stride: int = 1,
    layer: type[keras.layers.Layer] = keras.layers.Conv2D,
    **options: Any,
) -> keras.KerasTensor:
    """Convolves by size x size, without the bias that normalisation removes.

    `layer` is the kind of convolution, `options` are further arguments of it.
    """
    return layer(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        name=name,
        **options,
    )(x)


def batchnorm(
    x: keras.KerasTensor, name: str, momentum: float
) -> keras.KerasTensor:
    """Normalises over the batch; `momentum` is that of the moving averages."""
    # Synchronised, so that training on several devices is training on one.
    return BatchNormalization(
        momentum=momentum, synchronized=True, name=f"{name}_bn"
    )(x)


def batchnorm_relu(
    x: keras.KerasTensor, name: str, momentum: float
) -> keras.KerasTensor:
    """Normalises as `batchnorm` does, then cuts off what is negative."""
    x = batchnorm(x, name, momentum)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
