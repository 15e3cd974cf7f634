"""N-FGSM on a linear classifier, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, linear_weights, quadratic

from tfgan_robust.methods.base import fold_in
from tfgan_robust.methods.gradient_settings import NFGSMSettings
from tfgan_robust.methods.noisy import NFGSM

EPS = 0.1
SEED = tf.constant([3, 4])


def batch():
    images = np.random.default_rng(1).random((8, 4, 4, 3), np.float32)
    images[:, :1], images[:, -1:] = 0, 1
    return tf.constant(images), tf.constant(np.arange(8) % 2)


@pytest.mark.parametrize(("noise_size", "noise_step"), [(2, 1), (0, 0.5)])
def test_is_noise_and_a_step_that_nobody_clips_to_the_ball(
    noise_size, noise_step
):
    settings = NFGSMSettings(noise_size=noise_size, noise_step=noise_step)
    images, labels = batch()
    (found,) = NFGSM(settings, EPS, linear_logits).perturb(images, labels, SEED)
    noise = tf.random.stateless_uniform(
        images.shape, fold_in(SEED, 0), -noise_size * EPS, noise_size * EPS
    )
    signs = np.sign(linear_weights()).reshape(4, 4, 3)
    up = (1 - 2 * labels.numpy())[:, None, None, None] * signs
    expected = np.clip(images + noise + noise_step * EPS * up, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    longest = np.abs(found - images).max()
    assert longest > 0.9 * (noise_size + noise_step) * EPS


def test_the_step_is_up_where_the_noise_leads():
    settings = NFGSMSettings()
    near = np.random.default_rng(1).uniform(0.4, 0.6, (8, 4, 4, 3))
    images, labels = tf.constant(near, tf.float32), tf.constant([0, 1] * 4)
    (found,) = NFGSM(settings, EPS, quadratic).perturb(images, labels, SEED)
    noisy = images + tf.random.stateless_uniform(
        images.shape, fold_in(SEED, 0), -2 * EPS, 2 * EPS
    )
    away = (2 * labels.numpy() - 1)[:, None, None, None]
    expected = noisy + EPS * away * np.sign(noisy - 0.5)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Where a pixel was before the noise decides nothing.
    flipped = np.sign(noisy - 0.5) != np.sign(images - 0.5)
    assert flipped.mean() > 0.2


def test_the_published_settings_are_the_default():
    settings = NFGSMSettings()
    assert (settings.noise_size, settings.noise_step) == (2, 1)
    assert NFGSMSettings.method_defaults({}) == {"clean_weight": 0.0}


def test_another_seed_is_other_noise_and_less_radius_less_of_both():
    images, labels = batch()
    method = NFGSM(NFGSMSettings(), EPS, linear_logits)
    found, again, other = (
        method.perturb(images, labels, SEED + offset)[0] for offset in (0, 0, 1)
    )
    np.testing.assert_array_equal(found, again)
    assert not np.array_equal(found, other)
    method.warmup = lambda: 0.5
    (half,) = method.perturb(images, labels, SEED)
    inner = (slice(None), slice(1, -1))
    grey = tf.fill(images.shape, 0.5)
    whole = NFGSM(NFGSMSettings(), EPS, linear_logits)
    (long,) = whole.perturb(grey, labels, SEED)
    (short,) = method.perturb(grey, labels, SEED)
    np.testing.assert_allclose(
        (short - grey)[inner], (long - grey)[inner] / 2, atol=1e-6
    )
    assert not np.array_equal(half, found)
