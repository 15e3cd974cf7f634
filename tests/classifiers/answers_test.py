"""What models answer with is found out, and logits are got from it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfgan_robust.classifiers.answers import (
    before_squashing,
    found_outputs,
    kind_of,
    to_logits,
)
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.identity import probes

SHAPE = (4, 4, 3)
IMAGES = np.random.default_rng(5).random((8, *SHAPE), np.float32)
SQUASH = {"softmax": tf.nn.softmax, "sigmoid": tf.sigmoid}
KINDS = {"softmax": "probabilities", "sigmoid": "sigmoids"}


def dense(activation=None):
    return layers.Dense(4, activation=activation)


def sequential(*parts):
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), *parts])


def functional(squash):
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, squash(dense()(layers.Flatten()(inputs))))


def nested(inner):
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, inner(layers.Rescaling(2.0)(inputs)))


ENDINGS = {
    "activation of the last layer": lambda name: sequential(dense(name)),
    "layer": lambda name: sequential(dense(), layers.Activation(name)),
    "operation": lambda name: functional(getattr(keras.ops, name)),
    "nested": lambda name: nested(sequential(dense(name))),
    "twice nested": lambda name: nested(nested(sequential(dense(name)))),
    "nested sequential": lambda name: keras.Sequential(
        [keras.Input(SHAPE), layers.Rescaling(2.0), sequential(dense(name))]
    ),
}


@pytest.mark.parametrize("squash", SQUASH)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stored", [False, True])
def test_the_logits_before_a_squashing_end_are_found(
    ending, squash, stored, tmp_path
):
    model = ENDINGS[ending](squash)
    if stored:
        model.save(tmp_path / "m.keras")
        model = keras.models.load_model(tmp_path / "m.keras")
    expected = model(IMAGES).numpy()
    logits_model, kind = before_squashing(model)
    assert kind == KINDS[squash]
    logits = logits_model(IMAGES)
    assert np.abs(logits.numpy().sum(axis=-1) - 1).max() > 0.01
    np.testing.assert_allclose(SQUASH[squash](logits), expected, atol=1e-6)
    # The model itself stays what it was.
    np.testing.assert_array_equal(model(IMAGES), expected)
    assert Classifier.from_keras(model).outputs == kind


def test_a_softmax_layer_and_tensorflows_own_softmax_are_known():
    for last in (layers.Softmax(), layers.Activation(tf.nn.softmax)):
        model = sequential(dense(), last)
        assert before_squashing(model)[1] == "probabilities"


@pytest.mark.parametrize(
    "parts",
    [
        [dense()],
        [dense("relu")],
        [dense("softmax"), layers.Rescaling(0.5)],
        [layers.Dense(8, "softmax"), dense()],
    ],
    ids=["logits", "relu", "scaled", "inside"],
)
def test_other_ends_are_left_alone(parts):
    model = sequential(*parts)
    assert before_squashing(model) == (model, "logits")


@keras.saving.register_keras_serializable("answers_test")
class Doubled(keras.Model):
    """Computes more than the graph of its layers shows."""

    def call(self, images, training=False):
        return 0.5 * super().call(images, training=training)


def test_a_graph_that_is_not_all_is_not_cut():
    whole = sequential(dense("softmax"))
    model = Doubled(whole.inputs[0], whole.outputs[0])
    assert before_squashing(model) == (model, "logits")


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([[0.2, 0.8], [0.5, 0.5]], "probabilities"),
        ([[0.2, 0.9], [0.5, 0.5]], "sigmoids"),
        ([[0.2, 1.5], [0.5, 0.5]], "logits"),
        ([[-0.2, 0.9], [0.5, 0.5]], "logits"),
        ([[0.0, 0.0], [0.0, 0.0]], "logits"),
        ([[0.1, 0.2], [0.0, 0.1]], "logits"),
        ([[-0.001, 0.9], [0.5, 0.6]], "logits"),
        ([[np.nan, 0.8], [0.5, 0.5]], "logits"),
    ],
)
def test_kinds_of_answers(answers, kind):
    assert kind_of(np.array(answers, np.float32)) == kind


@pytest.mark.parametrize("squash", SQUASH)
def test_answers_of_a_saved_model_are_turned_back(squash, tmp_path):
    model = sequential(dense(squash))
    model.export(tmp_path / "m", verbose=False)
    classifier = load_classifier(model=tmp_path / "m")
    assert classifier.outputs == KINDS[squash]
    assert f"(from its {KINDS[squash]})" in classifier.description
    logits = before_squashing(model)[0](IMAGES).numpy()
    found = classifier.logits_fn(tf.constant(IMAGES)).numpy()
    if squash == "softmax":
        # Logits are known but for a shift.
        logits -= logits.mean(axis=1, keepdims=True)
        found -= found.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0, 1e4])
def test_one_network_as_logits_softmax_and_sigmoids(scale):
    """The very same logits, and so the same figure under any attack."""
    expected = None
    for ending in (None, "softmax", "sigmoid"):
        keras.utils.set_random_seed(1)
        ends = [layers.Activation(ending)] if ending else []
        model = sequential(dense(), layers.Rescaling(scale), *ends)
        logits = Classifier.from_keras(model).logits_fn(tf.constant(IMAGES))
        expected = logits if expected is None else expected
        np.testing.assert_array_equal(logits, expected)


def test_answers_that_were_rounded_to_0_and_1_stay_finite():
    rounded = tf.constant([[0.0, 1.0], [1e-30, 1.0]])
    for kind in ("probabilities", "sigmoids"):
        logits = to_logits(lambda images: images, kind)(rounded)
        assert np.all(np.isfinite(logits))
        assert np.all(np.argmax(logits, axis=-1) == 1)


def test_more_than_noise_is_looked_at():
    def squashed_but_for_white(images):
        mean = tf.reduce_mean(images, axis=[1, 2, 3])[:, None]
        return tf.where(mean > 0.9, [[5.0, -5.0]], [[0.25, 0.75]])

    assert found_outputs(squashed_but_for_white, SHAPE) == "logits"
    assert kind_of(squashed_but_for_white(probes(SHAPE)).numpy()) != "logits"
