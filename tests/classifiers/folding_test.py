"""Folded networks compute the same with fewer layers, or are left alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from toys import small_vgg

from tfgan_robust.classifiers.folding import fold_batchnorm

SHAPE = (8, 8, 3)
IMAGES = np.random.default_rng(5).random((6, *SHAPE), np.float32)


def trained(model):
    """Gives each variable a value that a training could have left."""
    generator = np.random.default_rng(3)
    for variable in model.variables:
        if variable.dtype != "float32":
            continue
        values = generator.normal(0, 0.4, variable.shape)
        if "variance" in variable.path or "gamma" in variable.path:
            values = np.abs(values) + 0.2
        variable.assign(values)
    return model


def chain(*parts):
    head = [layers.Flatten(), layers.Dense(4)]
    return trained(keras.Sequential([keras.Input(SHAPE), *parts, *head]))


def graph(build):
    inputs = keras.Input(SHAPE)
    outputs = layers.Dense(4)(layers.Flatten()(build(inputs)))
    return trained(keras.Model(inputs, outputs))


def normalisations(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization)
    ]


def answers(model):
    return np.asarray(model(tf.constant(IMAGES), training=False))


def assert_folded(model, left=0):
    before = answers(model)
    folded = fold_batchnorm(model)
    assert len(normalisations(folded)) == left
    assert len(normalisations(model)) > left
    np.testing.assert_allclose(answers(folded), before, atol=2e-5, rtol=1e-5)
    return folded


def assert_left_alone(model):
    assert normalisations(model)
    assert fold_batchnorm(model) is model


@pytest.mark.parametrize(
    "before",
    [
        lambda: layers.Conv2D(5, 3, use_bias=False),
        lambda: layers.Conv2D(6, 3, strides=2, padding="same"),
        lambda: layers.Conv2D(6, 3, groups=3),
        lambda: layers.DepthwiseConv2D(3, use_bias=False),
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        lambda: layers.Dense(5),
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"axis": 3}]
)
def test_what_ends_in_a_weighted_sum_takes_the_normalisation(before, options):
    assert_folded(chain(before(), layers.BatchNormalization(**options)))


def test_gradients_are_the_same():
    model = chain(
        layers.Conv2D(5, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(5, 3),
        layers.BatchNormalization(),
    )

    def gradient(network):
        images = tf.constant(IMAGES)
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(network(images, training=False)[:, 0] ** 2)
        return tape.gradient(loss, images)

    before, after = gradient(model), gradient(assert_folded(model))
    scale = np.abs(before).max()
    np.testing.assert_allclose(after / scale, before / scale, atol=1e-5)


def test_the_papers_classifier_has_no_normalisation_left():
    model = trained(small_vgg())
    folded = fold_batchnorm(model)
    assert len(normalisations(model)) == 10
    assert not normalisations(folded)
    images = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    expected = model(images, training=False)
    scale = np.abs(expected).max()
    found = folded(images, training=False)
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


def test_models_within_models_are_folded_too():
    inner = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()]
    model = keras.Sequential([keras.Input(SHAPE), *inner])
    assert_folded(chain(layers.Rescaling(2.0, -1.0), model))


def test_a_residual_network_keeps_what_cannot_be_folded():
    def build(x):
        x = layers.Conv2D(4, 3, padding="same")(x)
        # Used twice: normalised, and as it is.
        y = layers.ReLU()(layers.BatchNormalization()(x))
        y = layers.Conv2D(4, 3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization()(y)
        return layers.Add()([x, y])

    assert_folded(graph(build), left=1)


def low(layer, *arguments):
    return layer(*arguments, dtype="mixed_bfloat16")


class Doubling(layers.Layer):
    def call(self, x):
        return 2 * x


CONVOLUTION = [lambda: layers.Conv2D(4, 3), layers.BatchNormalization]


@pytest.mark.parametrize(
    "parts",
    [
        CONVOLUTION[::-1],
        [lambda: layers.Conv2D(4, 3, activation="relu"), CONVOLUTION[1]],
        [CONVOLUTION[0], lambda: layers.BatchNormalization(axis=1)],
        [lambda: layers.Conv2DTranspose(4, 3), CONVOLUTION[1]],
        # Of others' layers nothing is known, and some have no copy.
        [*CONVOLUTION, Doubling],
        [*CONVOLUTION, lambda: layers.TimeDistributed(Doubling())],
        [lambda: layers.Lambda(lambda x: 2 * x), *CONVOLUTION],
        # Rounding to bfloat16 elsewhere would change the answers visibly.
        [
            lambda: low(layers.Conv2D, 4, 3),
            lambda: low(layers.BatchNormalization),
        ],
    ],
    ids=[
        "order", "activation", "axis", "transpose", "own", "wrapped", "lambda",
        "bfloat16",
    ],
)  # fmt: skip
def test_what_would_not_be_the_same_is_left_alone(parts):
    assert_left_alone(chain(*(part() for part in parts)))


def test_a_convolution_used_twice_is_left_alone():
    def build(x):
        convolution = layers.Conv2D(3, 3, padding="same")
        normalised = layers.BatchNormalization()(convolution(x))
        return layers.Add()([normalised, convolution(layers.ReLU()(x))])

    assert_left_alone(graph(build))


def test_subclassed_models_are_left_alone():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [part() for part in CONVOLUTION]

        def call(self, x, training=False):
            for part in self.parts:
                x = part(x)
            return keras.ops.mean(x, axis=(1, 2))

    own = Own()
    own(IMAGES)
    assert_left_alone(trained(own))


def test_all_kinds_of_layers_can_surround_what_is_folded():
    def build(x):
        x = layers.RandomFlip()(layers.Rescaling(2.0, -1.0)(x))
        x = layers.BatchNormalization()(layers.Conv2D(4, 3)(x))
        x = 2 * keras.ops.relu(x) + 1
        x = layers.SpectralNormalization(layers.Conv2D(4, 3))(x)
        x = layers.Reshape((-1, 4))(layers.GaussianNoise(0.1)(x))
        return layers.MultiHeadAttention(2, 4)(x, x)

    assert_folded(graph(build))


def test_a_broken_network_is_left_alone():
    model = chain(layers.Conv2D(4, 3), layers.BatchNormalization())
    model.layers[-1].bias.assign([np.nan] * 4)
    assert_left_alone(model)


def test_nothing_to_fold_needs_no_copy():
    model = chain(layers.Conv2D(4, 3))
    assert fold_batchnorm(model) is model


def test_the_copy_shares_nothing_with_the_model():
    model = chain(layers.Conv2D(4, 3), layers.BatchNormalization())
    weights = [w.copy() for w in model.get_weights()]
    folded = assert_folded(model)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    then = answers(folded)
    for variable in model.trainable_variables:
        variable.assign(variable + 1.0)
    np.testing.assert_array_equal(answers(folded), then)
    assert np.abs(answers(model) - then).max() > 0.1
