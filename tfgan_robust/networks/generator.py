"""The paper's generator (Table 1), as a functional model."""

from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.networks.blocks import (
    batchnorm,
    batchnorm_relu,
    convolve,
    scaled,
)
from tfgan_robust.networks.shapes import check_sides

# Table 1 gives 128 filters to the residual blocks of the x1 generator.
FILTERS = (32, 64, 128)
RESIDUAL_BLOCKS = 4
# Generators always run on batch statistics while training; the averages
# matter only when one is used afterwards.
BATCHNORM_MOMENTUM = 0.9


def build_generator(
    image_shape: tuple[int, int, int],
    input_channels: int,
    *,
    width: float,
    name: str,
    gradient_skip: float = 0.0,
    direction: str = "added",
    zero_output: bool = False,
) -> keras.Model:
    """Builds the CycleGAN-like generator (section 4, Figure 2, Table 1).

    Args:
        image_shape: Height, width, channels of the images; both sides
            multiples of 4, since two layers halve them, and at least 16.
        input_channels: Channels of the generator's input; see
            `formulations.input_channels`.
        width: Scales all filter counts; 1 and 2 are the paper's x1 and x2.
        name: Name of the model.
        gradient_skip: Gain with which the first channels of the input, the
            gradient's sign, are added in front of the tanh. 0, the paper's,
            adds no such path.
        direction: "added", or "multiplied": the output is that sign times a
            magnitude between 0 and 1, at first 1/2 if `zero_output`.
        zero_output: Whether the last convolution starts at zero; the paper's
            does not.

    Returns:
        A model from float32 [batch, height, width, input_channels] to
        float32 [batch, height, width, channels] in [-1, 1].

    Raises:
        UsageError: if the sides are no multiples of 4, at least 16.
    """
    check_sides(image_shape)
    channels = image_shape[-1]
    first, second, deepest = (scaled(filters, width) for filters in FILTERS)
    inputs = keras.Input((*image_shape[:2], input_channels), name="inputs")
    x = _convolve(inputs, first, 7, "stem")
    x = _convolve(x, second, 5, "down1", stride=2)
    x = _convolve(x, deepest, 5, "down2", stride=2)
    for number in range(1, RESIDUAL_BLOCKS + 1):
        block, shortcut = f"residual{number}", x
        x = _convolve(x, deepest, 3, f"{block}_conv1")
        x = convolve(x, deepest, 3, f"{block}_conv2")
        x = batchnorm(x, f"{block}_conv2", BATCHNORM_MOMENTUM)
        x = keras.layers.Add(name=f"{block}_add")([shortcut, x])
    up = {"stride": 2, "layer": keras.layers.Conv2DTranspose}
    x = _convolve(x, second, 5, "up1", **up)
    x = _convolve(x, first, 5, "up2", **up)
    x = keras.layers.Conv2D(
        channels,
        7,
        padding="same",
        kernel_initializer="zeros" if zero_output else "glorot_uniform",
        name="perturbation",
    )(x)
    sign = inputs[..., :channels]
    outputs = _direction(x, sign, gradient_skip, direction)
    return keras.Model(inputs, outputs, name=name)


def _direction(
    x: keras.KerasTensor,
    sign: keras.KerasTensor,
    gradient_skip: float,
    direction: str,
) -> keras.KerasTensor:
    """Bounds what a generator says, with what the gradient's sign says."""
    dtype, layers = "float32", keras.layers
    if direction == "multiplied":
        size = layers.Activation("sigmoid", dtype=dtype, name="magnitude")(x)
        return layers.Multiply(dtype=dtype, name="direction")([size, sign])
    if gradient_skip > 0:
        path = layers.Rescaling(gradient_skip, dtype=dtype, name="skip_gain")(
            sign
        )
        x = layers.Add(dtype=dtype, name="gradient_skip")([x, path])
    return layers.Activation("tanh", dtype=dtype, name="tanh")(x)


@keras.saving.register_keras_serializable(package="tfgan_robust")
class Universal(keras.layers.Layer):
    """One perturbation for all images, whatever they are.

    Answers to [batch, height, width, any] with float32 [batch, height, width,
    channels] in [-1, 1], the same for each example.

    Args:
        channels: Of the images.
        **kwargs: For `keras.layers.Layer`.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape: Any) -> None:
        """Creates the perturbation."""
        self.perturbation = self.add_weight(
            shape=(*input_shape[1:3], self.channels),
            initializer=keras.initializers.RandomUniform(-0.5, 0.5),
            name="perturbation",
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns it, once for each example."""
        one = tf.tanh(self.perturbation)[tf.newaxis]
        return tf.repeat(one, tf.shape(inputs)[0], axis=0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the images."""
        return (*input_shape[:3], self.channels)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "channels": self.channels}


def build_universal(
    image_shape: tuple[int, int, int], input_channels: int, *, name: str
) -> keras.Model:
    """Builds what learns one perturbation for all images: a control.

    Args:
        image_shape: Height, width, channels of the images.
        input_channels: Channels of an input that it does not look at.
        name: Name of the model.

    Returns:
        As from `build_generator`.
    """
    inputs = keras.Input((*image_shape[:2], input_channels), name="inputs")
    layer = Universal(image_shape[-1], dtype="float32", name="universal")
    return keras.Model(inputs, layer(inputs), name=name)


def _convolve(
    x: keras.KerasTensor, filters: int, size: int, name: str, **options: Any
) -> keras.KerasTensor:
    x = convolve(x, filters, size, name, **options)
    return batchnorm_relu(x, name, BATCHNORM_MOMENTUM)
