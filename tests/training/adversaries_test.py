"""Perturbations used in training stay in the ball and do their work."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training import build
from tfgan_robust.training.adversaries import (
    GeneratorAdversary,
    build_adversary,
)

SHAPE = (16, 16, 3)
SEED = tf.constant([3, 4])


def batch(size=8):
    generator = np.random.default_rng(1)
    images = generator.random((size, *SHAPE), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, :4], images[:, -4:] = 0, 1
    return tf.constant(images), tf.constant(np.arange(size) % 10)


def linear_logits(images):
    """Logits whose input gradient has no zero and never changes its sign."""
    weights = np.random.default_rng(2).normal(size=(16 * 16 * 3, 10))
    flat = tf.reshape(images, [tf.shape(images)[0], -1])
    return tf.linalg.matmul(flat, tf.constant(weights, tf.float32))


def model(**settings):
    config = resolve(
        {"image_size": 16, "classifier_width": 0.05, "batch_size": 8}, settings
    )
    return build.build_model(config, SHAPE, 10)


@pytest.mark.parametrize("random_start", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("formulation", ["x", "xz", "grad", "grad_x"])
def test_generators_stay_in_ball_and_range(formulation, random_start):
    adversary = model(
        formulation=formulation,
        generator_width=0.1,
        random_start=random_start,
        eps=0.1,
    ).adversary
    images, labels = batch()
    point = adversary.prepare(images, labels, SEED)
    for perturbed in adversary.perturb(point):
        assert float(tf.reduce_max(tf.abs(perturbed - images))) <= 0.1 + 1e-6
        assert float(tf.reduce_min(perturbed)) >= 0
        assert float(tf.reduce_max(perturbed)) <= 1
        assert not np.array_equal(perturbed, images)


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_gradient_attacks_stay_in_ball_and_raise_the_loss(method):
    config = resolve({"method": method, "eps": 0.1})
    adversary = build_adversary(linear_logits, (), config)
    images, labels = batch()
    point = adversary.prepare(images, labels, SEED)
    (perturbed,) = adversary.perturb(point)
    assert float(tf.reduce_max(tf.abs(perturbed - images))) <= 0.1 + 1e-6
    assert float(tf.reduce_min(perturbed)) >= 0
    assert float(tf.reduce_max(perturbed)) <= 1
    before = cross_entropy(labels, linear_logits(images))
    after = cross_entropy(labels, linear_logits(perturbed))
    assert np.all(after.numpy() > before.numpy())


def test_fgsm_with_random_start_against_numpy():
    """Step 1.25 eps from the start, clipped (arXiv:2001.03994)."""
    config = resolve({"method": "fgsm", "eps": 0.1, "random_start": 0.0})
    adversary = build_adversary(linear_logits, (), config)
    images, labels = batch()
    (perturbed,) = adversary.perturb(adversary.prepare(images, labels, SEED))
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(cross_entropy(labels, linear_logits(images)))
    sign = np.sign(tape.gradient(loss, images).numpy())
    change = np.clip(1.25 * 0.1 * sign, -0.1, 0.1)
    expected = np.clip(images.numpy() + change, 0, 1)
    np.testing.assert_allclose(perturbed, expected, atol=1e-6)


def test_the_natural_method_has_no_adversary():
    adversary = build_adversary(
        linear_logits, (), resolve({"method": "natural"})
    )
    assert adversary.perturb(adversary.prepare(*batch(), SEED)) == []


def test_gradient_is_taken_at_the_start():
    """With a random start the sign belongs to the start, not the image."""

    def quadratic(images):
        # The gradient's sign flips where a pixel crosses one half.
        distance = tf.reduce_sum(tf.square(images - 0.5), [1, 2, 3])
        return tf.stack([distance, tf.zeros_like(distance)], axis=1)

    config = resolve({"formulation": "grad", "eps": 0.2})
    adversary = GeneratorAdversary(quadratic, (), config)
    images = tf.fill([2, *SHAPE], 0.5)
    labels = tf.constant([0, 0])
    point = adversary.prepare(images, labels, SEED)
    np.testing.assert_array_equal(
        point.gradient_sign, np.sign(0.5 - point.start.numpy())
    )
    assert np.any(point.start.numpy() != 0.5)


def test_noise_is_drawn_for_each_generator_and_call():
    trained = model(formulation="xz", generator_width=0.1)
    first, second = trained.generators
    second.set_weights(first.get_weights())
    adversary = trained.adversary
    point = adversary.prepare(*batch(), SEED)
    outputs = [
        adversary.directions(point, index, call=call).numpy()
        for index, call in [(0, 0), (1, 0), (0, 1)]
    ]
    assert not np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])
    again = adversary.directions(point, 0)
    np.testing.assert_allclose(outputs[0], again, atol=1e-6)


def test_same_seed_same_start_other_seed_other_start():
    adversary = model(generator_width=0.1, random_start=1.0).adversary
    images, labels = batch()
    starts = [
        adversary.prepare(images, labels, tf.constant(seed)).start.numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    ]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])
