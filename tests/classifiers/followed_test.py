"""Gradients of lower precision, under verdicts of float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, small_vgg

from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.interface import parse_input_range
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.measure import evaluate_classifier

SHAPE = (16, 16, 3)


def batch(count=6):
    generator = np.random.default_rng(0)
    images = generator.random((count, *SHAPE), np.float32)
    return tf.constant(images), tf.constant(np.arange(count) % 4)


def plain():
    return Classifier.from_keras(small_vgg(SHAPE, 4))


def with_softmax():
    network = small_vgg(SHAPE, 4)
    answers = keras.ops.softmax(network.output) * 1.0
    model = keras.Model(network.input, answers)
    return Classifier.from_keras(model, outputs="probabilities")


def with_pixels():
    return plain().fed(parse_input_range("-1,1"))


@pytest.mark.parametrize("build", [plain, with_softmax, with_pixels])
@pytest.mark.parametrize("compiled", [False, True])
def test_only_gradients_are_of_the_lower_precision(build, compiled):
    classifier = build()
    images, labels = batch()
    exact, exact_logits, _ = input_gradient(
        classifier.logits_fn, images, labels
    )
    followed = classifier.followed_in("bfloat16")
    look = lambda: input_gradient(followed, images, labels)  # noqa: E731
    found, logits, _ = tf.function(look)() if compiled else look()
    np.testing.assert_allclose(logits, exact_logits, rtol=1e-5, atol=1e-6)
    cosine = np.sum(found * exact) / np.linalg.norm(found)
    cosine /= np.linalg.norm(exact)
    assert 0.9 < cosine < 1 - 1e-7


def test_float32_is_the_classifier_itself():
    classifier = plain()
    assert classifier.followed_in("float32") is classifier.logits_fn


def test_what_cannot_be_copied_is_refused():
    function = Classifier(linear_logits, (4, 4, 3), 2, (), "linear")
    with pytest.raises(UsageError, match="Only a Keras model.*linear"):
        function.followed_in("bfloat16")


def test_every_verdict_is_that_of_float32():
    keras.utils.set_random_seed(0)
    model = small_vgg(SHAPE, 4)
    images, labels = batch(24)
    pixels = np.round(images.numpy() * 255).astype(np.uint8)
    classifier = Classifier.from_keras(model)
    answers = classifier.logits_fn
    right = np.argmax(answers(pixels / np.float32(255)), -1)
    measured = evaluate_classifier(
        classifier,
        pixels,
        right,
        attacks=["pgd-5"],
        eps=[0.3],
        gradient_precision="bfloat16",
    )
    judged = measured.masks["pgd-5", 0.3]
    found = measured.smallest.found
    assert found and set(found) <= set(np.flatnonzero(~judged))
    for index, (_, _, predicted, image) in found.items():
        assert np.argmax(answers(image[np.newaxis])) == predicted
        assert predicted != right[index]
    assert "attacks followed gradients in bfloat16" in measured.notes
