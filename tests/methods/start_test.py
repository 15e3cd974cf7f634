"""Learned starts: the formula term by term, and who learns from what."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import quadratic

from tfgan_robust.errors import UsageError
from tfgan_robust.methods.generator_settings import LearnedStartSettings
from tfgan_robust.methods.start import LearnedStart

SHAPE = (4, 4, 3)
EPS = 0.1
SEED = tf.constant([3, 4])


def ones(inputs, training):
    return tf.ones_like(inputs[..., :3])


def minus_half(inputs, training):
    return -0.5 * tf.ones_like(inputs[..., :3])


def method(*generators, **settings):
    settings = {"formulation": "x", **settings}
    if generators and settings.get("start_from") != "universal":
        settings["num_generators"] = len(generators)
    return LearnedStart(
        LearnedStartSettings(**settings), EPS, quadratic, generators
    )


def batch(count=8):
    images = np.random.default_rng(1).random((count, *SHAPE), np.float32)
    images[:, :1], images[:, -1:] = 0, 1
    return tf.constant(images), tf.constant(np.arange(count) % 2)


def up(images, labels):
    """Sign of the cross-entropy's gradient."""
    signs = np.where(labels == 0, -1, 1)[:, None, None, None]
    return signs * np.sign(images - np.float32(0.5))


@pytest.mark.parametrize("clip_to_ball", [True, False])
def test_start_and_step_against_numpy(clip_to_ball):
    learned = method(
        ones, minus_half, start_size=2.0, start_noise=0.25,
        gradient_step=0.75, clip_to_ball=clip_to_ball,
    )  # fmt: skip
    images, labels = batch()
    start = learned.prepare(images, labels, SEED)
    found = learned.complete(start)
    size = start.size.numpy()
    assert size.min() >= 0 and 1.2 * EPS < size.max() <= 2 * EPS
    assert np.abs(start.noise).max() <= 0.25 * EPS
    # Each of two generators has half of the batch.
    directions = np.repeat([1, -0.5], 4)[:, None, None, None]
    begun = np.clip(images + size * directions + start.noise, 0, 1)
    expected = begun + 0.75 * EPS * up(begun, labels.numpy())
    if clip_to_ball:
        expected = np.clip(expected, images - EPS, images + EPS)
    expected = np.clip(expected, 0, 1)
    (moved,) = found.batches
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    (pairs,) = found.pairs
    np.testing.assert_allclose(pairs, quadratic(begun), rtol=1e-5)
    np.testing.assert_array_equal(
        np.sign(found.gradient), up(begun, labels.numpy())
    )
    (again,) = learned.perturb(images, labels, SEED)
    np.testing.assert_array_equal(again, moved)


def test_generators_ascend_the_loss_at_the_start_by_the_steps_gradient():
    output = tf.Variable(0.1)

    def generator(inputs, training):
        return output * tf.ones_like(inputs[..., :3])

    learned = method(generator, start_noise=0.0)
    images, labels = batch()
    start = learned.prepare(images, labels, SEED)
    with tf.GradientTape() as tape:
        found = learned.complete(start)
        extra = learned.extra_loss(found, None, [quadratic(images)])
    np.testing.assert_array_equal(extra, np.zeros(8))
    gradient = tape.gradient(extra, output)
    with tf.GradientTape() as tape:
        begun = tf.clip_by_value(images + start.size * output, 0, 1)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=labels, logits=quadratic(begun)
        )
    expected = tape.gradient(loss, output)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4)
    assert abs(float(expected)) > 0


def test_the_step_itself_teaches_generators_nothing():
    output = tf.Variable(0.1)
    learned = method(lambda x, training: output * tf.ones_like(x[..., :3]))
    start = learned.prepare(*batch(), SEED)
    with tf.GradientTape() as tape:
        (moved,) = learned.complete(start).batches
        loss = tf.reduce_sum(quadratic(moved))
    assert tape.gradient(loss, output) is None


def test_pairs_draw_logits_together():
    learned = method(ones, pairing_weight=3.0)
    start = learned.prepare(*batch(), SEED)
    found = learned.complete(start)
    logits = quadratic(found.batches[0])
    difference = np.square(logits - found.pairs[0]).mean(-1)
    np.testing.assert_allclose(
        learned.extra_loss(found, None, [logits]), 3 * difference, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("source", "networks", "remembers"),
    [
        ("generator", 2, False),
        ("universal", 1, False),
        ("noise", 0, False),
        ("remembered", 0, True),
    ],
)
def test_controls_take_the_generators_place(source, networks, remembers):
    generators = [ones, ones][:networks]
    learned = method(*generators, start_from=source, start_noise=0.0)
    assert learned.num_generators == networks
    assert learned.remembers == remembers
    images, labels = batch()
    signs = -tf.ones_like(images)
    extra = {"remembered": signs} if remembers else {}
    start = learned.prepare(images, labels, SEED, **extra)
    directions = learned.directions(start).numpy()
    if source == "noise":
        assert 0.9 < directions.max() < 1 and -1 < directions.min() < -0.9
    else:
        expected = -1 if source == "remembered" else 1
        assert (directions == expected).all()
    found = learned.complete(start)
    assert (found.ascent is None) == (networks == 0)
    assert found.gradient.shape == images.shape


def test_one_image_meets_one_of_two_generators():
    def counted(inputs, training):
        assert len(inputs) == 1
        return ones(inputs, training)

    images, labels = batch(1)
    learned = method(counted, counted)
    (found,) = learned.perturb(images, labels, SEED)
    assert found.shape == images.shape


def test_what_is_not_remembered_is_looked_up():
    seen = []

    def generator(inputs, training):
        seen.append(inputs.numpy())
        return ones(inputs, training)

    learned = method(generator, formulation="grad_x")
    images, labels = batch()
    learned.perturb(images, labels, SEED)
    np.testing.assert_array_equal(
        seen[0][..., :3], up(images.numpy(), labels.numpy())
    )
    np.testing.assert_array_equal(seen[0][..., 3:], images)
    before = tf.ones_like(images)
    start = learned.prepare(images, labels, SEED, remembered=before)
    learned.complete(start)
    np.testing.assert_array_equal(seen[1][..., :3], before)


def test_settings_of_generators_need_generators():
    with pytest.raises(UsageError, match="needs 0 generators"):
        LearnedStart(
            LearnedStartSettings(start_from="noise"), EPS, quadratic, [ones]
        )


def test_the_universal_perturbation_is_the_same_for_all_images(tmp_path):
    from tfgan_robust.networks.generator import build_universal

    model = build_universal(SHAPE, 6, name="generator_0")
    images = np.random.default_rng(0).random((5, 4, 4, 6), np.float32)
    found = model(images).numpy()
    assert found.shape == (5, *SHAPE) and np.abs(found).max() < 1
    assert (found == found[:1]).all() and np.ptp(found[0]) > 0.1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), found)
