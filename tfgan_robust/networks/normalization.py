"""Batch normalisation as all our networks have it."""

import keras


def batchnorm(
    x: keras.KerasTensor, name: str, momentum: float
) -> keras.KerasTensor:
    """Normalises over the batch.

    Args:
        x: [batch, height, width, channels].
        name: The layer is called `<name>_bn`.
        momentum: Of the moving averages.

    Returns:
        As `x`.
    """
    # Synchronised, so that training on several devices is training on one.
    return keras.layers.BatchNormalization(
        momentum=momentum, synchronized=True, name=f"{name}_bn"
    )(x)


def batchnorm_relu(
    x: keras.KerasTensor, name: str, momentum: float
) -> keras.KerasTensor:
    """Normalises as `batchnorm` does, then cuts off what is negative."""
    x = batchnorm(x, name, momentum)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
