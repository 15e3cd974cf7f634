"""The losses against their formulas, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.networks.losses import (
    LOSSES,
    TARGETED_LOSSES,
    cross_entropy,
    dlr,
    margin,
    targeted_dlr,
)

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0]])
LABELS = np.array([0, 2, 0])


def reference(labels, logits):
    log_sum = np.log(np.exp(logits).sum(axis=1))
    return log_sum - logits[np.arange(len(labels)), labels]


@pytest.mark.parametrize("label_type", [tf.int32, tf.int64])
def test_is_the_negative_log_probability_of_each_example(label_type):
    losses = cross_entropy(
        tf.constant(LABELS, label_type), tf.constant(LOGITS, tf.float32)
    )
    assert losses.dtype == tf.float32
    np.testing.assert_allclose(losses, reference(LABELS, LOGITS), rtol=1e-6)


@pytest.mark.parametrize("kind", [tf.bfloat16, tf.float16])
def test_computes_in_float32_whatever_the_logits_are(kind):
    logits = tf.constant(LOGITS, kind)  # These are exact in either type.
    losses = cross_entropy(tf.constant(LABELS), logits)
    assert losses.dtype == tf.float32
    np.testing.assert_allclose(losses, reference(LABELS, LOGITS), rtol=1e-6)


def test_is_finite_and_exact_for_extreme_logits():
    logits = tf.constant([[1e4, 0.0], [1e4, 0.0]])
    losses = cross_entropy(tf.constant([0, 1]), logits)
    np.testing.assert_array_equal(losses, [0, 1e4])


def test_a_label_outside_the_classes_cannot_pass_for_a_loss():
    logits = tf.constant(LOGITS, tf.float32)
    with pytest.raises(tf.errors.InvalidArgumentError):
        cross_entropy(tf.constant([0, 1, 3]), logits)


def random_logits(classes=6, count=40):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(count, classes)) * 3
    labels = generator.integers(0, classes, count)
    targets = (labels + generator.integers(1, classes, count)) % classes
    return logits, labels, targets


def untargeted_by_hand(name, logits, label):
    """From the definitions, one example at a time."""
    wrong = max(z for k, z in enumerate(logits) if k != label)
    if name == "margin":
        return wrong - logits[label]
    if name == "dlr":
        ordered = sorted(logits, reverse=True)
        return -(logits[label] - wrong) / (ordered[0] - ordered[2])
    return np.log(np.sum(np.exp(logits))) - logits[label]


def targeted_by_hand(name, logits, label, target):
    if name == "margin":
        return logits[target] - logits[label]
    if name == "dlr":
        ordered = sorted(logits, reverse=True)
        spread = ordered[0] - (ordered[2] + ordered[3]) / 2
        return -(logits[label] - logits[target]) / spread
    return logits[target] - np.log(np.sum(np.exp(logits)))


@pytest.mark.parametrize("label_type", [tf.int32, tf.int64])
@pytest.mark.parametrize("name", ["cross_entropy", "margin", "dlr"])
def test_each_loss_is_its_formula(name, label_type):
    logits, labels, _ = random_logits()
    found = LOSSES[name](
        tf.constant(labels, label_type), tf.constant(logits, tf.float32)
    )
    expected = [
        untargeted_by_hand(name, row, label)
        for row, label in zip(logits, labels, strict=True)
    ]
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("label_type", [tf.int32, tf.int64])
@pytest.mark.parametrize("name", ["cross_entropy", "margin", "dlr"])
def test_each_targeted_loss_is_its_formula(name, label_type):
    logits, labels, targets = random_logits()
    found = TARGETED_LOSSES[name](
        tf.constant(labels, label_type),
        tf.constant(logits, tf.float32),
        tf.constant(targets, label_type),
    )
    expected = [
        targeted_by_hand(name, *row)
        for row in zip(logits, labels, targets, strict=True)
    ]
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_both_tables_know_the_same_losses():
    assert set(LOSSES) == set(TARGETED_LOSSES)
    assert set(LOSSES) == {"cross_entropy", "margin", "dlr"}


@pytest.mark.parametrize("name", ["margin", "dlr"])
def test_the_sign_of_a_margin_is_the_verdict(name):
    logits, labels, _ = random_logits()
    losses = LOSSES[name](tf.constant(labels), tf.constant(logits, tf.float32))
    wrong = logits.argmax(axis=1) != labels
    np.testing.assert_array_equal(losses.numpy() > 0, wrong)
    assert 0 < np.count_nonzero(wrong) < len(wrong)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("scale", "shift"), [(1e-3, 0.0), (1e4, 0.0), (1.0, 100.0), (50.0, -7.0)]
)
def test_dlr_heeds_neither_shift_nor_scale(scale, shift, targeted):
    logits, labels, targets = random_logits()

    def losses(values):
        values = tf.constant(values, tf.float32)
        if targeted:
            return targeted_dlr(
                tf.constant(labels), values, tf.constant(targets)
            )
        return dlr(tf.constant(labels), values)

    moved = losses(scale * logits + shift)
    np.testing.assert_allclose(moved, losses(logits), rtol=1e-3, atol=1e-4)
    # Cross-entropy and margin do heed them, or this would show nothing.
    assert np.ptp(losses(logits)) > 1


def test_dlr_of_a_right_answer_is_within_minus_one_and_zero():
    logits, _, _ = random_logits()
    labels = logits.argmax(axis=1)
    losses = dlr(tf.constant(labels), tf.constant(logits, tf.float32)).numpy()
    assert losses.min() >= -1 and losses.max() < 0


@pytest.mark.parametrize("name", ["margin", "dlr"])
def test_equal_logits_leave_losses_and_gradients_finite(name):
    logits, labels = tf.zeros([2, 5]), tf.constant([0, 3])
    for loss in (
        lambda z: LOSSES[name](labels, z),
        lambda z: TARGETED_LOSSES[name](labels, z, labels[::-1]),
    ):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = loss(logits)
        assert np.all(losses.numpy() == 0)
        assert np.all(np.isfinite(tape.gradient(losses, logits)))


def test_the_gradient_of_the_margin_is_one_logit_against_another():
    logits = tf.constant([[3.0, 1.0, 2.0], [0.0, 4.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = margin(tf.constant([0, 0]), logits)
    np.testing.assert_array_equal(
        tape.gradient(losses, logits), [[-1, 0, 1], [-1, 1, 0]]
    )


@pytest.mark.parametrize("name", ["margin", "dlr"])
@pytest.mark.parametrize("kind", [tf.bfloat16, tf.float16])
def test_margins_compute_in_float32_whatever_the_logits_are(name, kind):
    logits = np.array([[2.0, -1.0, 0.5, 1.0], [-3.0, 4.0, 1.0, 0.0]])
    labels, targets = tf.constant([0, 0]), tf.constant([1, 2])
    exact = tf.constant(logits, tf.float32)
    low = tf.constant(logits, kind)
    for found, expected in (
        (LOSSES[name](labels, low), LOSSES[name](labels, exact)),
        (
            TARGETED_LOSSES[name](labels, low, targets),
            TARGETED_LOSSES[name](labels, exact, targets),
        ),
    ):
        assert found.dtype == tf.float32
        np.testing.assert_array_equal(found, expected)
