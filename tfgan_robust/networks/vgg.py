"""The paper's classifier (Table 1), as a functional model."""

import keras

from tfgan_robust.networks.blocks import batchnorm_relu, convolve, scaled
from tfgan_robust.networks.dropout import Dropout
from tfgan_robust.networks.shapes import check_sides

# The paper leaves the filters out; this is the choice that gives its 1024
# features after four poolings of a 32 x 32 image.
FILTERS = (64, 128, 256, 256)
CONVOLUTIONS = (2, 2, 3, 3)
# 0.3 after the first two layers, 0.4 after the rest (section 4).
DROPOUT = (0.3, 0.4, 0.4, 0.4)
_LARGEST_DROPOUT = 0.9


def build_vgg(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    classifier_width: float,
    dropout_scale: float,
    batchnorm_momentum: float,
) -> keras.Model:
    """Builds the dropout VGG, the paper's discriminator (section 4, Table 1).

    Each 3 x 3 convolution is followed by batch normalisation, ReLU and
    dropout; blocks of 2, 2, 3 and 3 end in 2 x 2 max-pooling.

    Args:
        image_shape: Height, width, channels; both sides at least 16 and
            multiples of 4.
        num_classes: Number of classes.
        classifier_width: Scales all filter counts; 1.0 is the paper's.
        dropout_scale: Scales the dropout rates 0.3 and 0.4; 0 removes them.
        batchnorm_momentum: Momentum of the moving averages.

    Returns:
        A model from float32 [batch, height, width, channels] in [0, 1] to
        float32 logits [batch, num_classes].

    Raises:
        UsageError: for other sides.
    """
    check_sides(image_shape)
    images = keras.Input(image_shape, name="images")
    x = images
    blocks = zip(FILTERS, CONVOLUTIONS, DROPOUT, strict=True)
    for block, (filters, convolutions, rate) in enumerate(blocks, start=1):
        dropout = min(rate * dropout_scale, _LARGEST_DROPOUT)
        for index in range(1, convolutions + 1):
            name = f"block{block}_conv{index}"
            x = convolve(x, scaled(filters, classifier_width), 3, name)
            x = batchnorm_relu(x, name, batchnorm_momentum)
            if dropout > 0:
                x = Dropout(dropout, name=f"{name}_dropout")(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    # float32 whatever the precision of the rest: cross-entropy of bfloat16
    # logits would lose the gradients that attacks follow.
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="classifier")
