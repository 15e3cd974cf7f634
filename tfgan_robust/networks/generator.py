"""The paper's generator (Table 1), as a functional model."""

import keras

from tfgan_robust.networks.normalization import batchnorm, batchnorm_relu
from tfgan_robust.networks.shapes import check_sides, scaled

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
    gradient_skip: float,
    name: str,
) -> keras.Model:
    """Builds the CycleGAN-like generator (section 4, Figure 2, Table 1).

    Args:
        image_shape: Height, width, channels of the images; both sides
            multiples of 4, since two layers halve them, and at least 16.
        input_channels: Channels of the generator's input; see
            `formulations.input_channels`.
        width: Scales all filter counts; 1 and 2 are the paper's x1 and x2.
        gradient_skip: Gain with which the first channels of the input, the
            gradient's sign, are added in front of the tanh. 0, the paper's,
            adds no such path.
        name: Name of the model.

    Returns:
        A model from float32 [batch, height, width, input_channels] to
        float32 [batch, height, width, channels] in [-1, 1].

    Raises:
        UsageError: if the sides are no multiples of 4.
    """
    check_sides(image_shape)
    channels = image_shape[-1]
    first, second, deepest = (scaled(filters, width) for filters in FILTERS)
    inputs = keras.Input((*image_shape[:2], input_channels), name="inputs")
    x = _convolve(inputs, first, 7, 1, "stem")
    x = _convolve(x, second, 5, 2, "down1")
    x = _convolve(x, deepest, 5, 2, "down2")
    for block in range(1, RESIDUAL_BLOCKS + 1):
        x = _residual_block(x, deepest, f"residual{block}")
    x = _convolve(x, second, 5, 2, "up1", keras.layers.Conv2DTranspose)
    x = _convolve(x, first, 5, 2, "up2", keras.layers.Conv2DTranspose)
    x = keras.layers.Conv2D(
        channels, 7, padding="same", dtype="float32", name="perturbation"
    )(x)
    if gradient_skip > 0:
        sign = inputs[..., :channels]
        x = keras.layers.Add(dtype="float32", name="gradient_skip")(
            [x, keras.layers.Rescaling(gradient_skip, name="skip_gain")(sign)]
        )
    outputs = keras.layers.Activation("tanh", dtype="float32", name="tanh")(x)
    return keras.Model(inputs, outputs, name=name)


def _convolve(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    stride: int,
    name: str,
    layer: type[keras.layers.Layer] = keras.layers.Conv2D,
) -> keras.KerasTensor:
    x = layer(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        name=name,
    )(x)
    return batchnorm_relu(x, name, BATCHNORM_MOMENTUM)


def _residual_block(
    x: keras.KerasTensor, filters: int, name: str
) -> keras.KerasTensor:
    shortcut = x
    x = _convolve(x, filters, 3, 1, f"{name}_conv1")
    x = keras.layers.Conv2D(
        filters, 3, padding="same", use_bias=False, name=f"{name}_conv2"
    )(x)
    x = batchnorm(x, f"{name}_conv2", BATCHNORM_MOMENTUM)
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])
