"""Generators in training stay in the ball and see what they should."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.methods.generators import Generators
from tfgan_robust.methods.settings import GeneratorSettings

SHAPE = (4, 4, 3)
SEED = tf.constant([3, 4])


def quadratic(images):
    """Logits whose gradient's sign flips where a pixel crosses one half."""
    distance = tf.reduce_sum(tf.square(images - 0.5), [1, 2, 3])
    return tf.stack([distance, tf.zeros_like(distance)], axis=1)


def spread(inputs, training):
    """A generator: its last channels, out to both ends of [-1, 1]."""
    return tf.tanh(4 * inputs[..., -3:])


def method(*generators, formulation="grad_x", eps=0.1, **settings):
    generators = generators or (spread, spread)
    settings = GeneratorSettings(
        formulation=formulation, num_generators=len(generators), **settings
    )
    return Generators(settings, eps, quadratic, generators)


def batch():
    images = np.random.default_rng(1).random((8, *SHAPE), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, :1], images[:, -1:] = 0, 1
    return tf.constant(images), tf.constant(np.arange(8) % 2)


@pytest.mark.parametrize("random_start", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("formulation", ["x", "xz", "grad", "grad_x"])
def test_perturbations_stay_in_ball_and_range(formulation, random_start):
    generators = method(
        formulation=formulation, random_start=random_start, latent_channels=3
    )
    images, labels = batch()
    prepared = generators.prepare(images, labels, SEED)
    for perturbed in (
        *generators.complete(prepared),
        *generators.perturb(images, labels, SEED),
    ):
        assert float(tf.reduce_max(tf.abs(perturbed - images))) > 0.05
        assert float(tf.reduce_max(tf.abs(perturbed - images))) <= 0.1 + 1e-6
        assert float(tf.reduce_min(perturbed)) >= 0
        assert float(tf.reduce_max(perturbed)) <= 1


def test_gradient_is_taken_at_the_start():
    """With a random start the sign belongs to the start, not the image."""
    images, labels = tf.fill([2, *SHAPE], 0.5), tf.constant([0, 0])
    point = method(formulation="grad", eps=0.2).prepare(images, labels, SEED)
    np.testing.assert_array_equal(
        point.gradient_sign, np.sign(0.5 - point.start.numpy())
    )
    assert np.any(point.start.numpy() != 0.5)


def test_noise_is_drawn_for_each_generator_and_update():
    generators = method(formulation="xz", latent_channels=3)
    point = generators.prepare(*batch(), SEED)
    drawn = [
        generators.directions(point, index, update).numpy()
        for index, update in [(0, 0), (1, 0), (0, 1)]
    ]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    np.testing.assert_array_equal(drawn[0], generators.directions(point, 0))


def test_same_seed_same_start_other_seed_other_start():
    starts = [
        method().prepare(*batch(), tf.constant(seed)).start.numpy()
        for seed in ([1, 2], [1, 2], [1, 3])
    ]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])


def test_only_learning_generators_use_the_statistics_of_the_batch():
    modes = []

    def remember(inputs, training):
        modes.append(training)
        return inputs

    generators = method(remember, formulation="x")
    generators.complete(generators.prepare(*batch(), SEED))
    generators.perturb(*batch(), SEED)
    assert modes == [True, False]
