"""FGSM and PGD as training methods, on a linear classifier."""

import numpy as np
import pytest
import tensorflow as tf
from toys import (
    gradient_signs,
    linear_logits,
    linear_logits_in,
    linear_weights,
)

from tfgan_robust.methods.gradient import FGSM, PGD
from tfgan_robust.methods.gradient_settings import FGSMSettings, PGDSettings
from tfgan_robust.networks.losses import cross_entropy

EPS = 0.1
SEED = tf.constant([3, 4])


def batch():
    images = np.random.default_rng(1).random((8, 4, 4, 3), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, :1], images[:, -1:] = 0, 1
    return tf.constant(images), tf.constant(np.arange(8) % 2)


@pytest.mark.parametrize(
    "method",
    [
        FGSM(FGSMSettings(), EPS, linear_logits),
        PGD(
            PGDSettings(attack_steps=3, attack_step_size=0.05),
            EPS,
            linear_logits,
        ),
    ],
    ids=["fgsm", "pgd"],
)
def test_perturbations_stay_in_the_ball_and_raise_the_loss(method):
    images, labels = batch()
    (perturbed,) = method.perturb(images, labels, SEED)
    assert float(tf.reduce_max(tf.abs(perturbed - images))) <= EPS + 1e-6
    assert float(tf.reduce_min(perturbed)) >= 0
    assert float(tf.reduce_max(perturbed)) <= 1
    before = cross_entropy(labels, linear_logits(images))
    after = cross_entropy(labels, linear_logits(perturbed))
    assert np.all(after.numpy() > before.numpy())
    (again,) = method.perturb(images, labels, SEED)
    (other,) = method.perturb(images, labels, SEED + 1)
    np.testing.assert_array_equal(perturbed, again)
    assert not np.array_equal(perturbed, other)


@pytest.mark.parametrize(
    ("method", "length"),
    [
        # Clipped to the ball (arXiv:2001.03994).
        (FGSM(FGSMSettings(random_start=0), EPS, linear_logits), EPS),
        (
            FGSM(
                FGSMSettings(random_start=0, attack_step_size=0.03),
                EPS,
                linear_logits,
            ),
            0.03,
        ),
        (
            PGD(
                PGDSettings(
                    random_start=0, attack_step_size=0.03, attack_steps=2
                ),
                EPS,
                linear_logits,
            ),
            0.06,
        ),
    ],
)
def test_without_a_random_start_against_numpy(method, length):
    images, labels = batch()
    (perturbed,) = method.perturb(images, labels, SEED)
    signs = np.sign(linear_weights()).reshape(4, 4, 3)
    up = (1 - 2 * labels.numpy())[:, None, None, None] * signs
    expected = np.clip(images.numpy() + length * up, 0, 1)
    np.testing.assert_allclose(perturbed, expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_in_training_mode_gradients_are_those_of_the_cross_entropy(mode):
    images, _ = batch()
    labels = tf.zeros([len(images)], tf.int64)
    logits_fn = linear_logits_in(mode)
    settings = FGSMSettings(random_start=0, attack_mode=mode)
    (found,) = FGSM(settings, EPS, logits_fn).perturb(images, labels, SEED)
    up = gradient_signs(logits_fn, images, labels).numpy()
    expected = np.clip(images.numpy() + EPS * up, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("random_start", [0, 1])
def test_steps_are_the_same_in_a_loop_and_one_by_one(mode, random_start):
    settings = PGDSettings(
        attack_steps=3, attack_mode=mode, random_start=random_start
    )
    images, labels = batch()
    pgd = PGD(settings, EPS, linear_logits_in(mode))
    (found,) = pgd.perturb(images, labels, SEED)
    pgd.attacks_in_inference = not pgd.attacks_in_inference
    (other,) = pgd.perturb(images, labels, SEED)
    np.testing.assert_array_equal(found, other)
