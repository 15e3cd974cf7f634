"""TRADES against closed forms and NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, linear_weights

from tfgan_robust.methods.gradient_settings import TRADESSettings
from tfgan_robust.methods.trades import TRADES
from tfgan_robust.networks.losses import divergence

EPS = 0.1
SEED = tf.constant([3, 4])


def softmax(logits):
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def trades(**settings):
    return TRADES(TRADESSettings(**settings), EPS, linear_logits)


def batch(label=0):
    # Of no class for sure: there float32 rounds divergences to zero.
    images = np.random.default_rng(1).uniform(0.3, 0.7, (8, 4, 4, 3))
    return tf.constant(images, tf.float32), tf.fill([8], label)


def test_the_divergence_is_that_of_kullback_and_leibler():
    logits = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    first, second = softmax(logits)
    expected = (first * np.log(first / second)).sum(-1)
    np.testing.assert_allclose(divergence(*logits), expected, rtol=1e-4)
    assert np.abs(divergence(logits[0], logits[0])).max() < 1e-6


def test_the_loss_is_the_papers():
    logits = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    clean, other = softmax(logits)
    expected = -np.log(clean[[0, 1], [0, 2]]) + 4 * (
        clean * np.log(clean / other)
    ).sum(-1)
    found = trades(divergence_weight=4.0).loss(
        tf.constant([0, 2]), tf.constant(logits[0]), [tf.constant(logits[1])]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("label", [0, 1])
def test_perturbations_change_the_answer_most_whatever_the_label(label):
    """Of two classes in a linear classifier: to one end of the ball."""
    images, labels = batch(label)
    (found,) = trades().perturb(images, labels, SEED)
    assert np.abs(found - images).max() <= EPS + 1e-6
    assert found.numpy().min() >= 0 and found.numpy().max() <= 1
    signs = np.sign(linear_weights()).reshape(4, 4, 3)
    ends = [np.clip(images + s * EPS * signs, 0, 1) for s in (1, -1)]
    for one, *both in zip(found.numpy(), *ends, strict=True):
        # Ten steps of eps / 4 reach the end wherever they began.
        assert min(np.abs(one - end).max() for end in both) < 1e-6
    (again,) = trades().perturb(images, 1 - labels, SEED)
    np.testing.assert_array_equal(found, again)


def test_the_published_settings_are_the_default():
    settings = TRADESSettings()
    assert settings.divergence_weight == 6
    assert settings.divergence_steps == 10
    # 2/255 at 8/255.
    assert settings.divergence_step == 1 / 4


def test_a_step_is_a_share_of_the_radius():
    images, labels = tf.fill([8, 4, 4, 3], 0.5), tf.zeros([8], tf.int64)
    one = trades(divergence_steps=1, divergence_step=0.5)
    (found,) = one.perturb(images, labels, SEED)
    # Beside the noise of a standard deviation of 0.001.
    np.testing.assert_allclose(np.abs(found - images), 0.05, atol=6e-3)
