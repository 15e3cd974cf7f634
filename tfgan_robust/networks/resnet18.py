"""Pre-activation ResNet-18 for small images (arXiv:1603.05027)."""

import functools

import keras

from tfgan_robust.networks.blocks import batchnorm_relu, convolve, scaled

FILTERS = (64, 128, 256, 512)
STRIDES = (1, 2, 2, 2)
UNITS = 2
_convolve = functools.partial(convolve, kernel_initializer="he_normal")


def build_resnet18(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    classifier_width: float,
    batchnorm_momentum: float,
) -> keras.Model:
    """Builds the pre-activation ResNet-18 that this field compares on.

    A 3 x 3 stem, four stages of two units, batch normalisation and ReLU, and
    global average pooling. A unit adds two 3 x 3 convolutions, each after
    batch normalisation and ReLU, to its input; where filters or sides change
    a 1 x 1 convolution of what the first of them sees takes the input's
    place (arXiv:1603.05027, Figure 4e, and its appendix). Any size of images.

    Args:
        image_shape: Height, width, channels.
        num_classes: Number of classes.
        classifier_width: Scales all filter counts, 64 to 512.
        batchnorm_momentum: Momentum of the moving averages.

    Returns:
        A model from float32 [batch, height, width, channels] in [0, 1] to
        float32 logits [batch, num_classes].
    """
    images = keras.Input(image_shape, name="images")
    x = _convolve(images, scaled(FILTERS[0], classifier_width), 3, "stem")
    stages = zip(FILTERS, STRIDES, strict=True)
    for stage, (filters, stride) in enumerate(stages, start=1):
        for unit in range(1, UNITS + 1):
            x = _unit(
                x,
                scaled(filters, classifier_width),
                stride if unit == 1 else 1,
                batchnorm_momentum,
                f"stage{stage}_unit{unit}",
            )
    x = batchnorm_relu(x, "last", batchnorm_momentum)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    # float32 whatever the precision of the rest, as in `build_vgg`.
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="classifier")


def _unit(
    x: keras.KerasTensor, filters: int, stride: int, momentum: float, name: str
) -> keras.KerasTensor:
    shortcut = x
    x = batchnorm_relu(x, f"{name}_in", momentum)
    if stride > 1 or shortcut.shape[-1] != filters:
        shortcut = _convolve(x, filters, 1, f"{name}_shortcut", stride=stride)
    x = _convolve(x, filters, 3, f"{name}_conv1", stride=stride)
    x = batchnorm_relu(x, f"{name}_conv1", momentum)
    x = _convolve(x, filters, 3, f"{name}_conv2")
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])
