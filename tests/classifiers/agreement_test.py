"""Differences of logits count beside margins, not beside their size."""

import math

import numpy as np
import pytest

from tfgan_robust.classifiers.agreement import (
    difference,
    differences,
    resolution,
)


@pytest.fixture
def logits():
    """The likeliest class leads by 2, the next one by 3 more."""
    rows = np.array([[5.0, 3.0, 0.0], [0.0, 5.0, 3.0]], np.float32) + 1 / 3
    return np.repeat(rows, 8, axis=0)


def changed(logits, by, where=(0, 1)):
    other = logits.copy()
    other[where] += by
    return other


def test_the_same_is_the_same(logits):
    assert difference(logits, logits) == 0
    assert difference(0 * logits, 0 * logits) == 0


@pytest.mark.parametrize("offset", [0.0, -7.0, 1e4, 1e5])
def test_changes_count_in_median_margins_whatever_is_added(logits, offset):
    lifted, other = logits + np.float32(offset), changed(logits, 1.0) + offset
    found = difference(lifted, other.astype(np.float32))
    assert found == pytest.approx(0.5, abs=0.06)
    # Nor is what is added a change.
    assert difference(logits, lifted) < 0.06


def test_a_class_far_below_hides_nothing(logits):
    far = np.full((len(logits), 1), -1e6, np.float32)
    first, second = (
        np.concatenate([each, far], axis=-1)
        for each in (logits, changed(logits, 1.0))
    )
    assert difference(first, second) == pytest.approx(0.5, rel=1e-4)
    # It counts beside its own distance.
    moved = first.copy()
    moved[:, -1] -= 1e4
    assert difference(first, moved) == pytest.approx(0.01, rel=1e-3)


def test_rounding_is_no_difference_and_half_a_margin_no_rounding(logits):
    one = (logits + np.float32(1e5)).astype(np.float32)
    other = np.nextafter(one, np.float32(np.inf))
    other[:, 1] = one[:, 1]
    assert difference(one, other) == 0
    huge = 1e3 * logits + np.float32(1e9)
    moved = changed(1e3 * logits, 3e3) + np.float32(1e9)
    assert difference(huge.astype(np.float32), moved.astype(np.float32)) > 0.9


def test_few_classes_change_where_two_are_close(logits):
    # Of one image in sixteen, and then of two.
    close = changed(logits, 1.999)
    assert difference(close, changed(close, 0.002)) < 0.01
    close = changed(close, 1.999, (1, 1))
    swapped = changed(changed(close, 0.002), 0.002, (1, 1))
    assert difference(close, swapped) == math.inf
    assert max(differences(close, swapped)) < 0.01


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_within_no_bound(logits, value):
    broken = changed(logits, value)
    for pair in ((logits, broken), (broken, logits), (broken, broken)):
        assert not difference(*pair) <= 1


def test_logits_of_16_bits_are_known_by_their_values():
    values = np.linspace(-7, 7, 30, dtype=np.float32).reshape(10, 3)
    halves = values.astype(np.float16).astype(np.float32)
    brains = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert resolution(values) == pytest.approx(2**-23)
    assert resolution(halves) == 2**-10
    assert resolution(brains) == 2**-7
    # What their rounding makes of them is no difference.
    assert difference(halves, halves * np.float32(1 + 2**-10)) == 0
    assert difference(values, values * np.float32(1 + 2**-10)) > 9e-4
