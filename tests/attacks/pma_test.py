"""The probability margin attack: its loss, its steps, and what it reaches."""

import math

import numpy as np
import pytest
import tensorflow as tf
import toys
from toys import problem_of, run_attack, smooth_network

from tfgan_robust.attacks.pma import PMA, probability_margin
from tfgan_robust.errors import UsageError

SHAPE = (5, 5, 2)
CLASSES = 5
EPS = np.float32(0.1)

_network = smooth_network()


def logits_fn(images):
    """Nowhere so certain that a reference in float64 would lose its slope."""
    return _network(images) / 4


def margin_and_slope(logits, labels, rival, label):
    """The margin and its derivatives by the logits, float64."""
    logits = np.asarray(logits, np.float64)
    count = np.arange(len(labels))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    others = shares.copy()
    others[count, labels] = -1
    best = others.argmax(axis=1)
    # d p_i / d z_k = p_i (1[i = k] - p_k).
    jacobian = shares[:, :, None] * (np.eye(logits.shape[1]) - shares[:, None])
    slope = rival * jacobian[count, best] - label * jacobian[count, labels]
    value = rival * shares[count, best] - label * shares[count, labels]
    return value, slope, shares[count, best]


def measured(logits, labels, rival, label):
    ones = tf.ones([len(labels)])
    logits = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = probability_margin(
            tf.constant(labels), logits, rival=rival * ones, label=label * ones
        )
    return loss.numpy(), tape.gradient(loss, logits).numpy()


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
def test_the_loss_and_its_scaled_slope_are_those_of_float64(
    classes, scale, weights
):
    rng = np.random.default_rng(0)
    logits = np.float32(scale * rng.normal(size=(64, classes)))
    labels = rng.integers(classes, size=64)
    value, slope, best = margin_and_slope(logits, labels, *weights)
    found, gradient = measured(logits, labels, *weights)
    np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)
    assert np.all(np.abs(found) <= 1)
    expected = slope / best[:, None]
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gap", [20.0, 100.0, 500.0])
def test_a_certain_network_leaves_a_direction(gap):
    """Where the label's probability is 1 in float32, and others below 1e-38."""
    logits = np.array([[gap, 0.0, -1.0, -30.0]])
    for weights, expected in (
        # -p_y: every other class by its share of what the label leaves.
        (
            (0.0, 1.0),
            [-1 - math.exp(-1) - math.exp(-30), 1, math.exp(-1), 0],
        ),
        # p_max: the best.
        ((1.0, 0.0), [-1, 1, 0, 0]),
        # p_max - p_y: the best twice.
        (
            (1.0, 1.0),
            [-2 - math.exp(-1) - math.exp(-30), 2, math.exp(-1), 0],
        ),
    ):
        _, gradient = measured(logits, [0], *weights)
        np.testing.assert_allclose(gradient[0], expected, rtol=1e-5, atol=1e-6)


def test_a_shift_of_the_logits_changes_nothing():
    rng = np.random.default_rng(0)
    logits = np.round(4 * rng.normal(size=(16, 5)) * 64) / 64
    labels = rng.integers(5, size=16)
    for a, b in zip(
        measured(logits, labels, 1.0, 1.0),
        measured(logits + 32.0, labels, 1.0, 1.0),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def problem(attack, size=12, eps=EPS):
    rng = np.random.default_rng(0)
    images = rng.random((size, *SHAPE), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, 0], images[:, -1] = 0, 1
    labels = np.argmax(logits_fn(images), axis=1)
    return problem_of(attack, images, labels, eps)


def clip(moved, clean, eps=EPS):
    return np.clip(np.clip(moved, clean - eps, clean + eps), 0, 1)


@pytest.mark.parametrize(
    ("steps", "explore"),
    [(1, "label"), (2, "label"), (7, "label"), (10, "label"), (10, "rival")],
)
def test_takes_the_published_steps(steps, explore):
    """Two phases, in each 2 eps (1 + cos(pi k / K)) / 2 (section 3)."""
    attack = PMA(steps, explore)
    given = problem(attack)
    states = toys.trajectory(attack, logits_fn, given)
    clean = given.images.numpy()
    current = clip(clean + EPS * given.noise[0].numpy(), clean)
    np.testing.assert_array_equal(states[0].images, current)
    first = steps // 2
    for step in range(steps):
        images = tf.constant(current)
        with tf.GradientTape() as tape:
            tape.watch(images)
            shares = tf.nn.softmax(tf.cast(logits_fn(images), tf.float64))
            own = tf.one_hot(given.labels, CLASSES, dtype=tf.float64)
            loss = tf.zeros([12], tf.float64)
            if step >= first or explore == "label":
                loss -= tf.reduce_sum(own * shares, axis=-1)
            if step >= first or explore == "rival":
                loss += tf.reduce_max(shares - own, axis=-1)
        sign = np.sign(tape.gradient(loss, images))
        length, index = steps - first, step - first
        if step < first:
            length, index = first, step
        size = EPS * np.float32(1 + math.cos(math.pi * index / length))
        current = clip(current + size * sign, clean)
        np.testing.assert_allclose(
            states[step + 1].images, current, rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("eps", [0.0, 0.01, 0.7])
def test_stays_in_ball_and_range(eps):
    attack = PMA(6)
    given = problem(attack, eps=np.float32(eps))
    for state in toys.trajectory(attack, logits_fn, given):
        change = np.abs(state.images - given.images.numpy())
        assert change.max() <= eps + 1e-6
        assert state.images.numpy().min() >= 0
        assert state.images.numpy().max() <= 1


def linear(images):
    weights = np.random.default_rng(1).normal(size=(50, 2))
    flat = tf.reshape(images, [-1, 50]) - 0.5
    return tf.matmul(flat, tf.constant(weights, tf.float32))


def test_fools_a_linear_classifier_exactly_within_reach():
    """Two classes: an image is fooled if the worst corner is."""
    weights = np.random.default_rng(1).normal(size=(50, 2))
    images = np.random.default_rng(0).random((40, *SHAPE), np.float32)
    labels = np.argmax(linear(images), axis=1)
    normal = (weights[:, 1] - weights[:, 0]) * np.where(labels, -1, 1)[:, None]
    for eps in (0.02, 0.1):
        flat = images.reshape(40, 50)
        corners = np.clip(flat + eps * np.sign(normal), 0, 1)
        gains = np.sum((corners - 0.5) * normal, axis=1)
        assert np.abs(gains).min() > 1e-4  # Rounding decides no verdict.
        attack = PMA(20)
        verdict = run_attack(
            attack, linear, problem_of(attack, images, labels, eps)
        )
        np.testing.assert_array_equal(verdict.fooled, gains > 0)
        assert 0 < np.count_nonzero(gains > 0) < 40


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_equals_eager(jit_compile):
    attack = PMA(6)
    images = np.random.default_rng(0).random((12, *SHAPE), np.float32)
    labels = np.argmax(linear(images), axis=1)
    given = problem_of(attack, images, labels, 0.03)
    compiled = tf.function(
        lambda given: run_attack(attack, linear, given),
        jit_compile=jit_compile,
        autograph=False,
    )
    found, expected = compiled(given), run_attack(attack, linear, given)
    np.testing.assert_array_equal(found.fooled, expected.fooled)
    np.testing.assert_allclose(found.images, expected.images, atol=1e-5)
    assert 0 < np.count_nonzero(found.fooled) < 12


def test_bad_settings_are_refused():
    with pytest.raises(UsageError, match="`num_steps` must.*0"):
        PMA(0)
    with pytest.raises(UsageError, match="`explore` must.*both"):
        PMA(10, "both")
    assert (PMA(100).advances, PMA(100).passes) == (101, (1, 1))
