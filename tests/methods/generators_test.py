"""Generators in training stay in the ball and see what they should."""

import numpy as np
import pytest
import tensorflow as tf
from toys import gradient_signs, linear_logits_in, quadratic, small_generator

from tfgan_robust.methods.generator_settings import GeneratorSettings
from tfgan_robust.methods.generators import Generators
from tfgan_robust.methods.gradient import FGSM
from tfgan_robust.methods.gradient_settings import FGSMSettings

SHAPE = (4, 4, 3)
SEED = tf.constant([3, 4])


def spread(inputs, training):
    """A generator: its last channels, out to both ends of [-1, 1]."""
    return tf.tanh(4 * inputs[..., -3:])


def method(*generators, formulation="grad_x", eps=0.1, **settings):
    generators = generators or (spread, spread)
    settings = {"generator_assignment": "all", **settings}
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
        *generators.complete(prepared).batches,
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


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_in_training_mode_the_sign_is_that_of_the_cross_entropy(mode):
    images, _ = batch()
    labels = tf.zeros([len(images)], tf.int64)
    logits_fn = linear_logits_in(mode)
    settings = GeneratorSettings(
        formulation="grad", num_generators=1, attack_mode=mode, random_start=0
    )
    generators = Generators(settings, 0.1, logits_fn, [spread])
    found = generators.prepare(images, labels, SEED).gradient_sign
    expected = gradient_signs(logits_fn, images, labels)
    np.testing.assert_array_equal(found, expected)


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


def test_split_each_image_meets_one_of_the_generators():
    def constant(value):
        return lambda inputs, training: value * tf.ones_like(inputs[..., :3])

    values = [1.0, -0.5, 0.25]
    split = method(
        *map(constant, values), formulation="x", random_start=0,
        generator_assignment="split", generator_step=1.0, eps=0.1,
    )  # fmt: skip
    images, labels = tf.fill([8, *SHAPE], 0.5), tf.zeros([8], tf.int64)
    assert list(split.names) == ["attack"]
    assert split.players == ["generator_0", "generator_1", "generator_2"]
    (found,) = split.complete(split.prepare(images, labels, SEED)).batches
    shares = np.repeat(values, [2, 3, 3])
    expected = 0.5 + 0.1 * shares[:, None, None, None]
    np.testing.assert_allclose(found, expected * np.ones(SHAPE), atol=1e-6)
    (again,) = split.perturb(images, labels, SEED)
    np.testing.assert_array_equal(found, again)


def test_fewer_images_than_generators_leave_some_without():
    def constant(value):
        def directions(inputs, training):
            assert len(inputs) > 0
            return value * tf.ones_like(inputs[..., :3])

        return directions

    split = method(
        *map(constant, [1.0, -0.5, 0.25]), formulation="x", random_start=0,
        generator_assignment="split", generator_step=1.0, eps=0.1,
    )  # fmt: skip
    images, labels = tf.fill([2, *SHAPE], 0.5), tf.zeros([2], tf.int32)
    (found,) = split.perturb(images, labels, SEED)
    np.testing.assert_allclose(found[0], 0.45, atol=1e-6)
    np.testing.assert_allclose(found[1], 0.525, atol=1e-6)


def test_a_zero_output_is_fgsm_with_a_random_start_at_first():
    model = small_generator((16, 16, 3), 6, gradient_skip=1, zero_output=True)
    step = 1.25 / np.tanh(1)
    settings = {"formulation": "grad_x", "generator_step": step}
    ours = Generators(
        GeneratorSettings(num_generators=1, **settings), 0.1, quadratic, [model]
    )
    theirs = FGSM(FGSMSettings(), 0.1, quadratic)
    images = np.random.default_rng(1).random((8, 16, 16, 3), np.float32)
    labels = tf.constant(np.arange(8) % 2)
    point = ours.prepare(tf.constant(images), labels, SEED)
    (found,) = ours.complete(point).batches
    start = point.start.numpy()
    signs = np.where(labels == 0, -1, 1)[:, None, None, None]
    up = signs * np.sign(start - np.float32(0.5))
    expected = np.clip(start + 0.125 * up, images - 0.1, images + 0.1)
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-6)
    assert theirs.steps == (1, pytest.approx(0.125))


def test_a_multiplied_direction_is_the_sign_times_a_magnitude():
    model = small_generator(
        (16, 16, 3), 6, direction="multiplied", zero_output=True
    )
    inputs = np.random.default_rng(1).normal(size=(4, 16, 16, 6))
    inputs[..., :3] = np.sign(inputs[..., :3])
    np.testing.assert_allclose(model(inputs), inputs[..., :3] / 2, atol=1e-6)
    model.get_layer("perturbation").bias.assign([10.0, -10.0, 0.0])
    magnitude = [1.0, 0.0, 0.5] * np.ones((4, 16, 16, 3))
    np.testing.assert_allclose(
        model(inputs), inputs[..., :3] * magnitude, atol=1e-3
    )
