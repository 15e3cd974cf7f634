"""The paper's generator (Table 1), as a functional model."""

from typing import Any

import keras

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
    x: keras.KerasTensor, filters: int, size: int, name: str, **options: Any
) -> keras.KerasTensor:
    x = convolve(x, filters, size, name, **options)
    return batchnorm_relu(x, name, BATCHNORM_MOMENTUM)
