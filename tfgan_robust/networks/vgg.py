"""The paper's classifier and generator (Table 1), as functional models."""

import keras

from tfgan_robust.errors import UsageError

# The paper leaves the classifier's filters out; this is the choice that gives
# its 1024 features after four poolings of a 32 x 32 image.
CLASSIFIER_FILTERS = (64, 128, 256, 256)
CLASSIFIER_CONVOLUTIONS = (2, 2, 3, 3)
# 0.3 after the first two layers, 0.4 after the rest (section 4).
DROPOUT_FIRST_BLOCK, DROPOUT_REST = 0.3, 0.4

# Table 1 gives 128 filters to the residual blocks of the x1 generator.
GENERATOR_FILTERS = (32, 64, 128)
RESIDUAL_BLOCKS = 4
# Generators always run on batch statistics while training; the averages
# matter only when one is used afterwards.
GENERATOR_BATCHNORM_MOMENTUM = 0.9


def build_classifier(
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: float = 1.0,
    dropout_scale: float = 1.0,
    batchnorm_momentum: float = 0.99,
) -> keras.Model:
    """Builds the dropout VGG, the paper's discriminator (section 4, Table 1).

    Each 3 x 3 convolution is followed by batch normalisation, ReLU and
    dropout; blocks of 2, 2, 3 and 3 end in 2 x 2 max-pooling.

    Args:
        image_shape: Height, width, channels; both sides at least 16.
        num_classes: Number of classes, at least 2.
        width: Scales all filter counts; 1.0 is the paper's.
        dropout_scale: Scales the dropout rates 0.3 and 0.4; 0 removes them.
        batchnorm_momentum: Momentum of the moving averages.

    Returns:
        A model from float32 [batch, height, width, channels] in [0, 1] to
        float32 logits [batch, num_classes].

    Raises:
        UsageError: if the image is too small or there is but one class.
    """
    _check_image_shape(image_shape)
    if num_classes < 2:
        raise UsageError(
            f"A classifier needs at least 2 classes. Received: {num_classes}."
        )
    images = keras.Input(image_shape, name="images")
    x = images
    blocks = zip(CLASSIFIER_FILTERS, CLASSIFIER_CONVOLUTIONS, strict=True)
    for block, (filters, convolutions) in enumerate(blocks):
        rate = DROPOUT_FIRST_BLOCK if block == 0 else DROPOUT_REST
        for index in range(convolutions):
            name = f"block{block + 1}_conv{index + 1}"
            x = keras.layers.Conv2D(
                _scaled(filters, width),
                3,
                padding="same",
                use_bias=False,
                name=name,
            )(x)
            x = _normalise_and_activate(x, name, batchnorm_momentum)
            if rate * dropout_scale > 0:
                x = keras.layers.Dropout(
                    min(rate * dropout_scale, 0.9), name=f"{name}_dropout"
                )(x)
        x = keras.layers.MaxPooling2D(name=f"block{block + 1}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    # float32 whatever the precision of the rest: cross-entropy of bfloat16
    # logits would lose the gradients that attacks follow.
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="classifier")


def build_generator(
    image_shape: tuple[int, int, int],
    input_channels: int,
    *,
    width: float = 1.0,
    gradient_skip: float = 0.0,
    name: str = "generator",
) -> keras.Model:
    """Builds the CycleGAN-like generator (section 4, Figure 2, Table 1).

    Args:
        image_shape: Height, width, channels of the images; both sides
            multiples of 4, since two layers halve them.
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
    _check_image_shape(image_shape)
    channels = image_shape[-1]
    first, second, deepest = (_scaled(f, width) for f in GENERATOR_FILTERS)
    inputs = keras.Input((*image_shape[:2], input_channels), name="inputs")
    x = _convolve(inputs, first, 7, 1, "stem")
    x = _convolve(x, second, 5, 2, "down1")
    x = _convolve(x, deepest, 5, 2, "down2")
    for block in range(RESIDUAL_BLOCKS):
        x = _residual_block(x, deepest, f"residual{block + 1}")
    x = _convolve(x, second, 5, 2, "up1", transposed=True)
    x = _convolve(x, first, 5, 2, "up2", transposed=True)
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
    *,
    transposed: bool = False,
) -> keras.KerasTensor:
    layer = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
    x = layer(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        name=name,
    )(x)
    return _normalise_and_activate(x, name, GENERATOR_BATCHNORM_MOMENTUM)


def _residual_block(
    x: keras.KerasTensor, filters: int, name: str
) -> keras.KerasTensor:
    shortcut = x
    x = _convolve(x, filters, 3, 1, f"{name}_conv1")
    x = keras.layers.Conv2D(
        filters, 3, padding="same", use_bias=False, name=f"{name}_conv2"
    )(x)
    x = _batchnorm(f"{name}_conv2", GENERATOR_BATCHNORM_MOMENTUM)(x)
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])


def _normalise_and_activate(
    x: keras.KerasTensor, name: str, momentum: float
) -> keras.KerasTensor:
    x = _batchnorm(name, momentum)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _batchnorm(name: str, momentum: float) -> keras.layers.Layer:
    # Synchronised, so that training on several devices is training on one.
    return keras.layers.BatchNormalization(
        momentum=momentum, synchronized=True, name=f"{name}_bn"
    )


def _scaled(filters: int, width: float) -> int:
    return max(1, round(filters * width))


def _check_image_shape(image_shape: tuple[int, int, int]) -> None:
    height, width, _ = image_shape
    if min(height, width) < 16 or height % 4 or width % 4:
        raise UsageError(
            "The networks take images whose sides are multiples of 4 and at "
            f"least 16 pixels. Received: {height} x {width}; resize them, "
            "for example with `image_size=32`."
        )
