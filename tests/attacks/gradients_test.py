"""The gradient that attacks follow: of which loss, and how precise."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, linear_weights, smooth_network

from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.losses import log_odds

SHAPE = (4, 4, 3)
PIXELS = 48


def batch(shape=SHAPE, classes=2):
    images = np.random.default_rng(0).random((8, *shape), np.float32)
    return tf.constant(images), tf.constant(np.arange(8) % classes)


def test_the_gradient_is_that_of_the_summed_loss():
    images, labels = batch((5, 5, 2), 5)
    logits_fn = smooth_network()
    together, logits, loss = input_gradient(logits_fn, images, labels)
    np.testing.assert_array_equal(logits, logits_fn(images))
    np.testing.assert_array_equal(loss, log_odds(labels, logits))
    for index in range(len(labels)):
        alone, _, _ = input_gradient(
            logits_fn, images[index : index + 1], labels[index : index + 1]
        )
        np.testing.assert_allclose(
            together[index], alone[0], rtol=1e-5, atol=1e-7
        )


def test_the_gradient_is_that_of_the_given_loss():
    images, labels = batch()
    gradient, logits, loss = input_gradient(
        linear_logits, images, labels, lambda labels, logits: logits[:, 1] * 3
    )
    expected = np.broadcast_to(3 * linear_weights().reshape(SHAPE), (8, *SHAPE))
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    np.testing.assert_array_equal(loss, 3 * logits[:, 1])


def test_nan_is_no_direction():
    images, labels = batch()

    def broken(images):
        # The square root of 0 has no slope.
        return linear_logits(images) * (1 + tf.sqrt(0 * images[:, 0, 0, :1]))

    gradient, _, _ = input_gradient(broken, images, labels)
    assert np.all(np.isfinite(gradient)) and np.all(gradient[:, 0, 0, 0] == 0)


def test_a_classifier_without_gradient_is_refused():
    with pytest.raises(UsageError, match="no gradient with respect to its im"):
        input_gradient(lambda images: tf.zeros([8, 2]), *batch())


def test_gradients_are_float32_under_a_bfloat16_network():
    # Right by a margin of 12: 1 - p is 6e-6, which bfloat16 rounds away, and
    # cross-entropy's gradient with it.
    dense = keras.layers.Dense(
        2,
        dtype="mixed_bfloat16",
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(0.0),
    )
    model = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), dense]
    )
    dense.kernel.assign(np.tile([0.5, 0.0], (PIXELS, 1)))
    assert model(tf.ones([1, *SHAPE])).dtype == tf.bfloat16
    images, labels = tf.fill([3, *SHAPE], 0.5), tf.zeros([3], tf.int64)

    def logits_fn(images):
        return model(images, training=False)

    gradient, logits, _ = input_gradient(logits_fn, images, labels)
    assert gradient.dtype == tf.float32 and logits.dtype == tf.float32
    np.testing.assert_allclose(logits, [[12, 0]] * 3)
    np.testing.assert_allclose(gradient, -0.5, rtol=2e-2)
    attacked = pgd(logits_fn, images, labels, eps=0.25, num_steps=4)
    assert attacked.dtype == tf.float32
    np.testing.assert_allclose(attacked, 0.25, atol=1e-6)
