"""What is remembered of each image, whatever was done to it."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.data.augmentation import Places, draw_places, move
from tfgan_robust.errors import UsageError
from tfgan_robust.training.memory import GradientMemory

SHAPE = (5, 7, 3)
COUNT = 11


def still(*indices):
    zeros = tf.zeros([len(indices), 1], tf.int32)
    return Places(tf.constant(indices), zeros, zeros, tf.zeros_like(zeros) > 0)


def gradient(count, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(count, *SHAPE))
    return tf.constant(drawn, tf.float32)


def test_signs_come_back_for_the_images_that_they_are_of():
    memory = GradientMemory(COUNT, SHAPE)
    before = memory.read(still(*range(COUNT))).numpy()
    first, second = gradient(2), gradient(1, seed=1)
    memory.write(still(3, 7), first)
    memory.write(still(0), second)
    after = memory.read(still(*range(COUNT))).numpy()
    np.testing.assert_array_equal(after[[3, 7]], np.sign(first))
    np.testing.assert_array_equal(after[0], np.sign(second)[0])
    others = [n for n in range(COUNT) if n not in (0, 3, 7)]
    np.testing.assert_array_equal(after[others], before[others])
    memory.write(still(3), -first[:1])
    np.testing.assert_array_equal(memory.read(still(3))[0], -np.sign(first)[0])


def test_before_the_first_visit_signs_are_random():
    signs = GradientMemory(200, SHAPE).read(still(*range(200))).numpy()
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.03
    for seed, same in ((0, True), (1, False)):
        other = GradientMemory(200, SHAPE, seed).read(still(*range(200)))
        assert np.array_equal(signs, other) == same


def test_a_zero_counts_as_negative():
    memory = GradientMemory(1, SHAPE)
    memory.write(still(0), tf.zeros([1, *SHAPE]))
    assert (memory.read(still(0)).numpy() == -1).all()


def test_signs_move_with_the_image():
    """What was seen at one place is shown at the other."""
    memory, signs = GradientMemory(COUNT, SHAPE), np.sign(gradient(4))
    indices = tf.constant([1, 4, 9, 10])
    memory.write(still(*indices.numpy()), tf.constant(signs))
    for seed in range(5):
        places = draw_places(
            indices, SHAPE[:2], (0, seed), horizontal_flip=True, max_shift=0.3
        )
        shown = memory.read(places)
        np.testing.assert_array_equal(shown, move(tf.constant(signs), places))
        # What is written as it was shown is what was there, edges aside.
        memory.write(places, shown)
        kept = memory.read(still(*indices.numpy())).numpy()
        inside = (slice(None), slice(1, -1), slice(2, -2))
        np.testing.assert_array_equal(kept[inside], signs[inside])
        memory.write(still(*indices.numpy()), tf.constant(signs))


def test_it_takes_a_bit_for_a_pixel_of_a_channel():
    memory = GradientMemory(COUNT, (32, 32, 3))
    assert memory.bits.shape == (COUNT, 32 * 32 * 3 // 8)
    assert memory.bits.dtype == "uint8"


def test_without_images_there_is_nothing_to_remember():
    with pytest.raises(UsageError, match="how many training images"):
        GradientMemory(0, SHAPE)
