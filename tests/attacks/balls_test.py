"""The two balls: projections, draws, steps and lengths, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.attacks import l2, linf
from tfgan_robust.attacks.base import NORMS as BALLS

SHAPE = (4, 5, 3)
PIXELS = 60


def length(changes, norm):
    flat = np.asarray(changes, np.float64).reshape(len(changes), -1)
    order = np.inf if norm == "linf" else 2
    return np.linalg.norm(flat, order, axis=1)


def centre(count=32, seed=0):
    images = np.random.default_rng(seed).random((count, *SHAPE), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, 0], images[:, -1] = 0, 1
    return images


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.1, 0.5, 3.0])
def test_projections_end_in_the_ball_and_the_range(norm, eps):
    images = centre()
    spread = np.random.default_rng(1).normal(size=images.shape)
    scales = np.geomspace(1e-4, 1e3, len(images))[:, None, None, None]
    away = (images + scales * spread).astype(np.float32)
    found = BALLS[norm].project(away, images, eps).numpy()
    assert found.min() >= 0 and found.max() <= 1
    assert length(found - images, norm).max() <= eps + 1e-6
    assert found.dtype == np.float32
    if eps == 0:
        np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_projections_leave_alone_what_is_inside(norm):
    images = 0.25 + 0.5 * centre()
    change = np.random.default_rng(1).normal(size=images.shape) * 1e-2
    inside = (images + change).astype(np.float32)
    eps = 1.01 * length(inside - images, norm).max()
    found = BALLS[norm].project(inside, images, eps)
    np.testing.assert_allclose(found, inside, rtol=0, atol=1e-7)
    again = BALLS[norm].project(images, images, eps)
    np.testing.assert_array_equal(again, images)


@pytest.mark.parametrize("eps", [0.05, 0.5, 2.0, 10.0])
def test_l2_finds_the_nearest_point_of_ball_and_range(eps):
    images = centre()
    spread = np.random.default_rng(1).normal(size=images.shape)
    scales = np.geomspace(1e-2, 1e2, len(images))[:, None, None, None]
    away = (images + scales * spread).astype(np.float32)
    found = l2.project(away, images, eps).numpy().astype(np.float64)
    # No point of ball and range is nearer: the gap to the projected point
    # has no positive product with any way from there to such a point.
    others = centre(count=400, seed=2)[:, None] - images
    others *= np.minimum(
        1,
        eps
        / length(others.reshape(-1, *SHAPE), "l2").reshape(others.shape[:2]),
    )[..., None, None, None]
    ways = images + others - found
    products = np.sum(ways * (away - found), axis=(2, 3, 4))
    sizes = length(away - found, "l2")
    assert np.all(products <= 1e-5 * (1 + sizes))
    far = length(np.clip(away, 0, 1) - images, "l2") > eps
    reached = length(found - images, "l2")[far]
    np.testing.assert_allclose(reached, eps, rtol=1e-5)


def test_l2_pulls_straight_towards_the_centre():
    images = 0.4 + 0.2 * centre()
    change = np.random.default_rng(1).normal(size=images.shape)
    found = l2.project((images + change).astype(np.float32), images, 0.1)
    expected = 0.1 * change / length(change, "l2")[:, None, None, None]
    np.testing.assert_allclose(found - images, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_sizes_are_norms(norm):
    changes = np.random.default_rng(1).normal(size=(7, *SHAPE))
    changes *= np.geomspace(1e-6, 1e6, 7)[:, None, None, None]
    found = BALLS[norm].size(tf.constant(changes, tf.float32))
    assert found.shape == [7]
    np.testing.assert_allclose(found, length(changes, norm), rtol=1e-5)
    none = BALLS[norm].size(tf.zeros([2, *SHAPE]))
    np.testing.assert_array_equal(none, [0, 0])


def test_the_steepest_step_of_linf_is_the_sign():
    gradient = tf.constant([-2.0, 0.0, 1e-30, 5.0])[:, None, None, None]
    found = np.ravel(linf.steepest(gradient))
    np.testing.assert_array_equal(found, [-1, 0, 1, 1])


@pytest.mark.parametrize("scale", [1e8, 1.0, 1e-6, 1e-11, 1e-15, 1e-25])
def test_the_steepest_step_of_l2_has_length_one(scale):
    gradient = np.random.default_rng(1).normal(size=(8, *SHAPE))
    expected = gradient / length(gradient, "l2")[:, None, None, None]
    found = l2.steepest(tf.constant(scale * gradient, tf.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_gradient_is_no_step(norm):
    steps = BALLS[norm].steepest(tf.zeros([2, *SHAPE]))
    np.testing.assert_array_equal(steps, np.zeros((2, *SHAPE)))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_draws_fill_the_unit_ball_evenly(norm):
    rng = np.random.default_rng(0)
    draws = np.stack([BALLS[norm].draw(rng, (1, 2, 2)) for _ in range(4000)])
    assert draws.dtype == np.float32
    lengths = length(draws, norm)
    assert lengths.max() <= 1 + 1e-6
    # The share of the ball within radius r is r^n.
    shares = lengths**4
    bins = np.histogram(shares, 4, (0, 1))[0] / len(shares)
    np.testing.assert_allclose(bins, 0.25, atol=0.03)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(
        (draws > 0).mean(axis=0), np.full((1, 2, 2), 0.5), atol=0.04
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_generator_decides_what_is_drawn(norm):
    draws = [
        BALLS[norm].draw(np.random.default_rng(seed), SHAPE)
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_projection_clips_to_the_box_then_to_the_range():
    moved = tf.constant([-1.0, 0.1, 0.45, 0.9, 2.0])
    middle = tf.constant([0.05, 0.3, 0.5, 0.5, 0.95])
    expected = [0.0, 0.2, 0.45, 0.6, 1.0]
    np.testing.assert_allclose(linf.project(moved, middle, 0.1), expected)


def test_random_starts_of_linf_fill_the_ball_and_heed_the_range():
    images = tf.fill([100, *SHAPE], 0.5)
    offsets = (linf.random_start(images, 0.2, [0, 1]) - images).numpy()
    assert np.abs(offsets).max() <= 0.2 + 1e-6
    assert offsets.min() < -0.199 and offsets.max() > 0.199
    shares = np.histogram(offsets, 4, (-0.2, 0.2))[0] / offsets.size
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
    white = linf.random_start(tf.ones([4, *SHAPE]), 0.2, [0, 1]).numpy()
    assert white.max() == 1 and white.min() >= 0.8 - 1e-6
