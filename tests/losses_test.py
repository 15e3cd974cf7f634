"""The loss against its formula, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.losses import cross_entropy

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
