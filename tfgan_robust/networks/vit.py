"""Small vision transformer with a convolutional stem (arXiv:2106.14881)."""

import keras

from tfgan_robust.networks.blocks import batchnorm_relu, convolve, scaled

# 8 x 8 tokens of a 32 x 32 image, and as many parameters as the paper's VGG.
STEM = (64, 128)
FEATURES = 256
HEADS = 4
LAYERS = 6
EXPANSION = 2
# Of the transformers of arXiv:2010.11929.
_POSITIONS_DEVIATION = 0.02
_EPSILON = 1e-6


def build_vit(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    classifier_width: float,
    batchnorm_momentum: float,
) -> keras.Model:
    """Builds a vision transformer that trains on small sets of small images.

    Two 3 x 3 convolutions of stride 2, each with batch normalisation and ReLU,
    make a token of every 4 x 4 pixels, in place of one large convolution
    (arXiv:2106.14881); then six layers of attention with four heads and
    perceptrons twice as wide, normalised beforehand (arXiv:2010.11929), and
    the mean over tokens. Any size of images, one for each model: positions are
    learned.

    Args:
        image_shape: Height, width, channels.
        num_classes: Number of classes.
        classifier_width: Scales the stem's filters, 64 and 128, and the 256
            features of a token.
        batchnorm_momentum: Momentum of the stem's moving averages.

    Returns:
        A model from float32 [batch, height, width, channels] in [0, 1] to
        float32 logits [batch, num_classes].
    """
    images = keras.Input(image_shape, name="images")
    x = images
    for index, filters in enumerate(STEM, start=1):
        name = f"stem{index}"
        x = convolve(x, scaled(filters, classifier_width), 3, name, stride=2)
        x = batchnorm_relu(x, name, batchnorm_momentum)
    height, width, filters = x.shape[1:]
    features = scaled(FEATURES, classifier_width)
    x = keras.layers.Reshape((height * width, filters), name="tokens")(x)
    # A bias for each position and feature is what a position adds.
    x = keras.layers.EinsumDense(
        "btf,fd->btd",
        output_shape=(height * width, features),
        bias_axes="td",
        # Made here: it draws a seed of its own, which is the run's.
        bias_initializer=keras.initializers.TruncatedNormal(
            stddev=_POSITIONS_DEVIATION
        ),
        name="positions",
    )(x)
    for index in range(1, LAYERS + 1):
        x = _layer(x, f"layer{index}")
    x = _normalised(x, "last")
    x = keras.layers.GlobalAveragePooling1D(name="pool")(x)
    # float32 whatever the precision of the rest, as in `build_vgg`.
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="classifier")


def _layer(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    features = x.shape[-1]
    seen = _normalised(x, f"{name}_attention")
    attended = keras.layers.MultiHeadAttention(
        HEADS, max(1, features // HEADS), name=f"{name}_attention"
    )(seen, seen)
    x = keras.layers.Add(name=f"{name}_attention_add")([x, attended])
    y = _normalised(x, f"{name}_perceptron")
    y = keras.layers.Dense(EXPANSION * features, "gelu", name=f"{name}_expand")(
        y
    )
    y = keras.layers.Dense(features, name=f"{name}_contract")(y)
    return keras.layers.Add(name=f"{name}_perceptron_add")([x, y])


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.LayerNormalization(
        epsilon=_EPSILON, name=f"{name}_norm"
    )(x)
