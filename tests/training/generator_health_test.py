"""Generator health, on generators whose health is known."""

import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, linear_weights

from tfgan_robust.methods.generator_settings import GeneratorSettings
from tfgan_robust.methods.generators import Generators
from tfgan_robust.training.generator_health import SATURATED, generator_health

SHAPE = (4, 4, 3)
PIXELS = 48
EPS = 0.02


def batch(size=16):
    generator = np.random.default_rng(0)
    # Far enough from black and white that no perturbation is clipped.
    images = generator.uniform(0.2, 0.8, (size, *SHAPE)).astype(np.float32)
    return tf.constant(images), tf.constant(np.arange(size) % 2)


def health(
    *generators, formulation="grad", labels=None, logits_fn=linear_logits,
    **settings,
):  # fmt: skip
    given = {
        "formulation": formulation,
        "num_generators": len(generators),
        "random_start": 0,
        "generator_step": 1,
        **settings,
    }
    images, right_labels = batch()
    figures = generator_health(
        Generators(GeneratorSettings(**given), EPS, logits_fn, generators),
        logits_fn,
        images,
        right_labels if labels is None else labels,
    )
    return {name: float(value) for name, value in figures.items()}


def constant(value):
    return lambda inputs, training: tf.fill(tf.shape(inputs[..., :3]), value)


def follow(inputs, training):
    """FGSM as a generator: its input is the gradient's sign."""
    return inputs


def retreat(inputs, training):
    return -inputs


def right():
    images, labels = batch()
    return (np.argmax(linear_logits(images), axis=-1) == labels).numpy()


def test_success_is_the_share_of_right_images_that_are_fooled():
    figures = health(follow, constant(0.0), retreat)
    images, labels = batch()
    signs = np.sign(linear_weights()).reshape(SHAPE)
    up = (1 - 2 * labels.numpy())[:, None, None, None] * signs
    attacked = linear_logits(tf.cast(images + EPS * up, tf.float32))
    fooled = (np.argmax(attacked, axis=-1) != labels.numpy()) & right()
    share = np.count_nonzero(fooled) / np.count_nonzero(right())
    assert 0 < share < 1 and not np.all(right())
    assert figures["fgsm_success"] == pytest.approx(share)
    assert figures["generator_0_success"] == pytest.approx(share)
    assert figures["generator_1_success"] == 0
    assert figures["generator_2_success"] == 0


def test_success_is_zero_where_no_image_is_right():
    images, _ = batch()
    wrong = 1 - tf.argmax(linear_logits(images), axis=-1)
    figures = health(follow, labels=wrong)
    assert figures["fgsm_success"] == figures["generator_0_success"] == 0


def test_saturation_is_the_share_of_outputs_at_the_border():
    def half(inputs, training):
        above, below = SATURATED + 0.01, SATURATED - 0.01
        rows = tf.reshape(tf.constant([above, -above, below, 0]), [1, 4, 1, 1])
        return tf.broadcast_to(rows, tf.shape(inputs))

    figures = health(constant(-1.0), half, constant(0.5))
    assert figures["generator_0_saturation"] == 1
    assert figures["generator_1_saturation"] == 0.5
    assert figures["generator_2_saturation"] == 0


def test_identical_generators_do_not_differ():
    assert health(follow, follow)["generator_difference"] == 0


def test_opposite_generators_differ_by_twice_the_radius():
    figures = health(follow, retreat)
    assert figures["generator_difference"] == pytest.approx(2, rel=1e-5)


def test_the_difference_is_the_mean_over_all_pairs():
    figures = health(constant(0.0), constant(0.5), constant(0.8))
    assert figures["generator_difference"] == pytest.approx(1.6 / 3, rel=1e-5)


def test_the_difference_is_that_of_clipped_perturbations():
    figures = health(constant(1.0), constant(-1.0), generator_step=3)
    assert figures["generator_difference"] == pytest.approx(2, rel=1e-5)


def test_a_lone_generator_has_nothing_to_differ_from():
    assert health(follow).keys() == {
        "fgsm_success",
        "generator_0_success",
        "generator_0_saturation",
    }


def test_sensitivity_is_zero_for_a_generator_that_ignores_z():
    figures = health(
        constant(1.0),
        lambda inputs, training: tf.sign(inputs[..., 3:]),
        formulation="xz",
        latent_channels=3,
    )
    assert figures["generator_0_z_sensitivity"] == 0
    # Two signs drawn apart differ half of the time, by twice the radius.
    assert figures["generator_1_z_sensitivity"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("formulation", ["x", "grad", "grad_x"])
def test_sensitivity_is_told_of_xz_alone(formulation):
    figures = health(constant(1.0), formulation=formulation)
    assert not any("z_sensitivity" in name for name in figures)


def test_generators_are_measured_in_inference_mode():
    modes = []

    def remember(inputs, training):
        modes.append(training)
        return inputs

    health(remember)
    assert modes == [False]


def test_the_same_images_have_the_same_health():
    def noisy(inputs, training):
        return tf.tanh(inputs[..., 3:])

    first, second = (
        health(noisy, formulation="xz", latent_channels=3, random_start=1)
        for _ in range(2)
    )
    assert first == second
