"""The end of a graph is found and changed, through the models inside it."""

import keras
import numpy as np
import pytest
from keras import layers

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.endings import last_operation, with_end

SHAPE = (4, 4, 3)
IMAGES = np.random.default_rng(5).random((8, *SHAPE), np.float32)


def head(last):
    hidden = layers.Dense(5, activation="tanh")
    parts = [keras.Input(SHAPE), layers.Flatten(), hidden, last]
    return keras.Sequential(parts)


def inside(inner):
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, inner(layers.Rescaling(2.0)(inputs)))


def in_sequential(inner):
    return keras.Sequential([keras.Input(SHAPE), layers.Rescaling(2.0), inner])


WRAPPINGS = {
    "plain": lambda inner: inner,
    "nested": inside,
    "nested in a Sequential": in_sequential,
    "twice nested": lambda inner: inside(in_sequential(inner)),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("squash", [None, "softmax"])
def test_features_are_what_enters_the_last_layer(wrapping, squash):
    last = layers.Dense(4, activation=squash)
    classifier = Classifier.from_keras(WRAPPINGS[wrapping](head(last)))
    features = classifier.features_fn(IMAGES).numpy()
    assert features.shape == (len(IMAGES), 5)
    kernel, bias = last.get_weights()
    np.testing.assert_allclose(
        features @ kernel + bias, classifier.logits_fn(IMAGES), atol=1e-5
    )


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_no_features_are_known_of_another_end(wrapping):
    model = WRAPPINGS[wrapping](head(layers.Rescaling(2.0)))
    assert Classifier.from_keras(model).features_fn is None


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_new_end_leaves_the_model_as_it_was(wrapping):
    model = WRAPPINGS[wrapping](head(layers.Dense(4, activation="relu")))
    before = model(IMAGES).numpy()
    assert last_operation(model) == "relu"
    doubled = with_end(model, lambda last: 2.0 * last.output)
    np.testing.assert_allclose(doubled(IMAGES), 2 * before, rtol=1e-6)
    np.testing.assert_array_equal(model(IMAGES), before)
