"""Verdicts, and choices between states."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.attacks.base import NO_CLASS, choose_each, judge


@pytest.mark.parametrize("label_type", [tf.int32, tf.int64])
def test_judges_by_the_largest_logit_and_nan_is_no_answer(label_type):
    nan = float("nan")
    logits = tf.constant(
        [[0.0, 1, 2], [5, 1, 2], [0, nan, 0], [nan, 0, 3], [nan, nan, nan]]
    )
    labels = tf.constant([2, 2, 0, 2, 0], label_type)
    images = tf.random.normal([5, 1, 1, 1])
    verdict = judge(logits, images, labels)
    np.testing.assert_array_equal(
        verdict.fooled, [False, True, True, True, True]
    )
    np.testing.assert_array_equal(verdict.predicted, [2, 0] + 3 * [NO_CLASS])
    np.testing.assert_array_equal(verdict.images, images)


def test_whole_examples_are_chosen_from_each_part():
    condition = tf.constant([True, False])
    state = (tf.zeros([2, 2, 3, 1]), {"a": tf.zeros([2])})
    other = (tf.ones([2, 2, 3, 1]), {"a": tf.ones([2])})
    images, parts = choose_each(condition, state, other)
    np.testing.assert_array_equal(images[0], np.zeros((2, 3, 1)))
    np.testing.assert_array_equal(images[1], np.ones((2, 3, 1)))
    np.testing.assert_array_equal(parts["a"], [0, 1])
