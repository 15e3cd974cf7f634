"""Any Keras model as a pure function of images, in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import slow
from keras import layers

from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import (
    attacked_logits,
    classifier_logits,
    compute_dtypes,
    is_float32,
    to_float32,
)

SHAPE = (6, 6, 3)
IMAGES = np.random.default_rng(0).random((4, *SHAPE), np.float32)


def parts(policy):
    return [
        layers.Conv2D(3, 3, dtype=policy),
        layers.BatchNormalization(dtype=policy),
        layers.Dropout(0.5, dtype=policy),
        layers.Flatten(dtype=policy),
        layers.Dense(3, dtype=policy),
    ]


@keras.saving.register_keras_serializable(package="logits_test")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = parts(self.dtype_policy)

    def call(self, images, training=False):
        for layer in self.inner:
            images = layer(images, training=training)
        return images


def subclassed(policy):
    model = Subclassed(dtype=policy)
    model(IMAGES)
    return model


def sequential(*inner):
    return keras.Sequential([keras.Input(SHAPE), *inner])


def chain(policy):
    return sequential(*parts(policy))


def nested(policy):
    return sequential(chain(policy))


def wrapped(policy):
    convolution = layers.Conv2D(3, 3, dtype=policy)
    return sequential(
        layers.SpectralNormalization(convolution),
        layers.Flatten(),
        layers.Dense(3),
    )


def adapted(policy):
    normalisation = layers.Normalization(dtype=policy)
    normalisation.adapt(IMAGES)
    return sequential(normalisation, *parts(policy))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("build", [chain, nested, wrapped, subclassed, adapted])
def test_float32_copies_have_the_weights_and_nothing_of_the_rounding(
    build, policy
):
    rounded, exact = build(policy), build("float32")
    rounded(IMAGES, training=True)  # moves averages
    weights = rounded.get_weights()
    exact.set_weights(weights)
    assert not is_float32(rounded) and is_float32(exact)
    converted = to_float32(rounded)
    assert compute_dtypes(converted) == {"float32"}
    for found, kept in zip(converted.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, kept)
    expected = exact(IMAGES, training=False)
    found = converted(IMAGES, training=False)
    np.testing.assert_allclose(found, expected, rtol=0.03, atol=0.03)
    if build is not adapted:  # which keeps its means in low precision
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # The model itself is as it was.
    assert not is_float32(rounded)


@pytest.mark.parametrize("policy", ["bfloat16", *slow("float16", "float64")])
@pytest.mark.parametrize("build", [chain, nested, wrapped, subclassed])
def test_variables_of_another_precision_become_float32(build, policy):
    other = build(policy)
    wide = to_float32(other)
    assert {str(variable.dtype) for variable in wide.weights} <= {
        "float32",
        "uint32",  # of seeds
    }
    for found, kept in zip(
        wide.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, kept.astype(found.dtype))
    found = classifier_logits(wide, "inference")(IMAGES)
    expected = other(IMAGES, training=False)
    np.testing.assert_allclose(
        found, np.asarray(expected, np.float32), rtol=0.05, atol=0.05
    )
    assert keras.config.dtype_policy().name == "float32"


def test_float32_models_are_not_copied():
    for model in (chain("float32"), subclassed("float32")):
        assert to_float32(model) is model


def test_models_that_cannot_be_copied_are_refused():
    class Own(layers.Layer):
        def call(self, images):
            return images

    model = sequential(Own(dtype="bfloat16"))
    with pytest.raises(UsageError, match="float32 copy.*build it in float32"):
        to_float32(model)


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("build", [chain, subclassed])
def test_functions_change_no_variable_and_follow_them(build, policy, mode):
    model = build(policy)
    for logits in (classifier_logits, attacked_logits):
        function = logits(model, mode)
        before = [np.array(v) for v in model.variables]
        first = function(tf.constant(IMAGES))
        assert first.dtype == tf.float32
        for then, variable in zip(before, model.variables, strict=True):
            np.testing.assert_array_equal(then, variable)
        # The same seeds and averages again: the same answers.
        np.testing.assert_array_equal(function(tf.constant(IMAGES)), first)
        model.trainable_variables[-1].assign_add([1.0, 2.0, 3.0])
        moved = function(tf.constant(IMAGES)) - first
        np.testing.assert_allclose(moved, 4 * [[1, 2, 3]], atol=0.02)
