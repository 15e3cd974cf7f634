"""The losses against their formulas, in NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.networks.losses import (
    LOSSES,
    cross_entropy,
    dlr,
    log_odds,
    loss_function,
    margin,
)

NAMES = ["cross_entropy", "margin", "dlr"]
CLASSES = 6
GENERATOR = np.random.default_rng(0)
# Multiples of 1/8, which all floating-point types know exactly; no ties.
EIGHTHS = np.tile(np.arange(-64, 65), (40, 1)) / 8
LOGITS = GENERATOR.permuted(EIGHTHS, axis=1)[:, :CLASSES]
LABELS = GENERATOR.integers(0, CLASSES, 40)
TARGETS = (LABELS + GENERATOR.integers(1, CLASSES, 40)) % CLASSES


def by_hand(name, logits, label, target=None):
    """From the definitions, of one example."""
    ordered = sorted(logits, reverse=True)
    other = max(z for k, z in enumerate(logits) if k != label)
    spread = ordered[0] - ordered[2]
    if target is not None:
        other = logits[target]
        spread = ordered[0] - (ordered[2] + ordered[3]) / 2
    if name == "cross_entropy":
        chosen = label if target is None else target
        others = [z for k, z in enumerate(logits) if k != chosen]
        odds = np.log(np.sum(np.exp(others))) - logits[chosen]
        return odds if target is None else -odds
    return (other - logits[label]) / (spread if name == "dlr" else 1)


@pytest.mark.parametrize(
    ("label_type", "logit_type"),
    itertools.product(
        [tf.int32, tf.int64],
        [tf.float32, tf.bfloat16, tf.float16],
    ),
)
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_each_loss_is_its_formula_in_float32(
    name, targeted, label_type, logit_type
):
    targets = tf.constant(TARGETS, label_type) if targeted else None
    found = loss_function(name, targets)(
        tf.constant(LABELS, label_type), tf.constant(LOGITS, logit_type)
    )
    columns = [LOGITS, LABELS, TARGETS][: 2 + targeted]
    expected = [by_hand(name, *row) for row in zip(*columns, strict=True)]
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_the_table_knows_all_losses():
    assert list(LOSSES) == NAMES


@pytest.mark.parametrize("label_type", [tf.int32, tf.int64])
@pytest.mark.parametrize("logit_type", [tf.float32, tf.bfloat16, tf.float16])
def test_cross_entropy_is_the_softplus_of_the_odds(label_type, logit_type):
    labels = tf.constant(LABELS, label_type)
    found = cross_entropy(labels, tf.constant(LOGITS, logit_type))
    assert found.dtype == tf.float32
    expected = np.log(np.exp(LOGITS).sum(axis=1)) - LOGITS[range(40), LABELS]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    odds = log_odds(labels, tf.constant(LOGITS, logit_type))
    np.testing.assert_allclose(found, tf.nn.softplus(odds), rtol=1e-4)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0, 1e4])
def test_odds_point_the_way_of_cross_entropy_where_that_vanishes(
    scale, targeted
):
    logits = tf.constant(scale * LOGITS, tf.float32)
    targets = tf.constant(TARGETS) if targeted else None
    with tf.GradientTape() as tape:
        tape.watch(logits)
        odds = log_odds(tf.constant(LABELS), logits, targets)
    found = tape.gradient(odds, logits).numpy()
    chosen = np.eye(CLASSES)[TARGETS if targeted else LABELS]
    # The softmax over the other classes, in float64.
    rest = np.where(chosen > 0, -np.inf, scale * LOGITS)
    others = np.exp(rest - rest.max(axis=1, keepdims=True))
    others /= others.sum(axis=1, keepdims=True)
    expected = (others - chosen) * (-1 if targeted else 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.all(np.abs(found).max(axis=1) == 1)


def test_cross_entropy_is_finite_and_exact_for_extreme_logits():
    logits = tf.constant([[1e4, 0.0], [1e4, 0.0]])
    losses = cross_entropy(tf.constant([0, 1]), logits)
    np.testing.assert_array_equal(losses, [0, 1e4])


def test_a_label_outside_the_classes_cannot_pass_for_a_loss():
    with pytest.raises(tf.errors.InvalidArgumentError):
        cross_entropy(tf.constant([0, 1, 3]), tf.zeros([3, 3]))


@pytest.mark.parametrize("name", ["margin", "dlr"])
def test_the_sign_of_a_margin_is_the_verdict(name):
    losses = LOSSES[name](tf.constant(LABELS), tf.constant(LOGITS, tf.float32))
    wrong = LOGITS.argmax(axis=1) != LABELS
    np.testing.assert_array_equal(losses.numpy() > 0, wrong)
    assert 0 < np.count_nonzero(wrong) < len(wrong)


@pytest.mark.parametrize("targets", [None, tf.constant(TARGETS)])
@pytest.mark.parametrize(
    ("scale", "shift"), [(1e-3, 0.0), (1e4, 0.0), (1.0, 100.0), (50.0, -7.0)]
)
def test_dlr_heeds_neither_shift_nor_scale(scale, shift, targets):
    expected, moved = (
        dlr(tf.constant(LABELS), tf.constant(values, tf.float32), targets)
        for values in (LOGITS, scale * LOGITS + shift)
    )
    np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=1e-4)
    assert np.ptp(expected) > 1


def test_dlr_of_a_correct_answer_is_within_minus_one_and_zero():
    labels = LOGITS.argmax(axis=1)
    losses = dlr(tf.constant(labels), tf.constant(LOGITS, tf.float32)).numpy()
    assert losses.min() >= -1 and losses.max() < 0


@pytest.mark.parametrize("targets", [None, tf.constant([3, 0])])
@pytest.mark.parametrize("name", ["margin", "dlr"])
def test_equal_logits_leave_losses_and_gradients_finite(name, targets):
    logits = tf.zeros([2, 5])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = LOSSES[name](tf.constant([0, 3]), logits, targets)
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
