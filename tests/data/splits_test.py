"""What is held out of a training split."""

import numpy as np
import pytest

from tfgan_robust.data.splits import (
    Split,
    copies_of,
    hold_out,
    representative_order,
)
from tfgan_robust.errors import UsageError

CLASS_SIZES = (200, 100, 60, 40)


@pytest.fixture
def split() -> Split:
    """Classes of different sizes; each image spells its own number."""
    labels = np.repeat(np.arange(len(CLASS_SIZES)), CLASS_SIZES)
    labels = np.random.default_rng(0).permutation(labels)
    numbers = np.arange(len(labels))
    images = np.stack([numbers // 256, numbers % 256, labels], axis=-1)
    return Split(images[:, np.newaxis, np.newaxis].astype(np.uint8), labels)


def numbers(part: Split) -> list[int]:
    high, low, labels = part.images[:, 0, 0].astype(int).T
    np.testing.assert_array_equal(labels, part.labels)
    return list(high * 256 + low)


def held_out(split: Split, **changes) -> tuple[list[int], list[int]]:
    options = {
        "validation_images": None,
        "train_images": None,
        "seed": 0,
        **changes,
    }
    training, validation = hold_out(split, **options)
    return numbers(training), numbers(validation)


@pytest.mark.parametrize(
    ("validation_images", "train_images", "sizes"),
    [
        (None, None, (360, 40)),
        (100, None, (300, 100)),
        (1, 20, (20, 1)),
        (100, 300, (300, 100)),
    ],
)
def test_parts_have_their_sizes_and_share_no_image(
    split, validation_images, train_images, sizes
):
    training, validation = held_out(
        split, validation_images=validation_images, train_images=train_images
    )
    assert (len(training), len(validation)) == sizes
    assert len(set(training) | set(validation)) == sum(sizes)


@pytest.mark.parametrize("count", [20, 37, 100, 200])
def test_every_part_is_stratified(split, count):
    parts = hold_out(split, validation_images=count, train_images=count, seed=1)
    shares = np.array(CLASS_SIZES) / sum(CLASS_SIZES)
    for part in parts:
        counts = np.bincount(part.labels, minlength=len(CLASS_SIZES))
        np.testing.assert_allclose(counts, count * shares, atol=2)


def test_the_seed_decides(split):
    assert held_out(split, seed=3) == held_out(split, seed=3)
    some, others = (set(held_out(split, seed=seed)[1]) for seed in (3, 4))
    assert len(some & others) < len(some) / 2


def test_fewer_training_images_are_the_first_of_more(split):
    all_of_them, validation = held_out(split)
    for count in (1, 50, 359):
        some, same_validation = held_out(split, train_images=count)
        assert some == all_of_them[:count]
        assert same_validation == validation


def test_a_split_of_two_has_one_for_each(split):
    two = Split(split.images[:2], split.labels[:2])
    assert sorted(np.concatenate(held_out(two))) == [0, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"validation_images": 400},
        {"validation_images": 300, "train_images": 101},
        {"train_images": 361},
    ],
)
def test_more_than_there_are_is_refused(split, changes):
    with pytest.raises(UsageError, match="has 400 images, too few for"):
        held_out(split, **changes)


@pytest.mark.parametrize("name", ["validation_images", "train_images"])
@pytest.mark.parametrize("count", [0, -5])
def test_an_empty_part_is_refused(split, name, count):
    with pytest.raises(UsageError, match=f"at least 1. Received: .*{count}"):
        held_out(split, **{name: count})


def copied(split: Split, times: int) -> Split:
    return Split(*(np.repeat(part, times, axis=0) for part in split))


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("count", [30, 37, 100])
def test_copies_of_an_image_are_on_one_side(split, times, count):
    training, validation = held_out(
        copied(split, times), validation_images=count
    )
    assert not set(training) & set(validation)
    assert count - times < len(validation) <= count
    assert len(training) + len(validation) == times * len(split.labels)


def test_copies_that_leave_nothing_to_hold_out_are_refused(split):
    with pytest.raises(UsageError, match="copies; raise `validation_images`"):
        held_out(copied(split, 2), validation_images=1)


def test_without_copies_the_split_is_the_front_of_the_order(split):
    (_, labels), order = split, representative_order(split.labels)
    _, validation = held_out(split, validation_images=100)
    assert validation == order[:100].tolist()
    assert len(np.unique(labels[order[:20]])) == 4


@pytest.mark.parametrize("sizes", [(300, 100, 4, 2), (50, 2, 2, 2)])
def test_classes_of_two_images_are_among_those_held_out(sizes):
    labels = np.repeat(np.arange(4), sizes)
    numbers = np.arange(len(labels))
    images = np.stack([numbers // 256, numbers % 256, labels], axis=-1)
    small = Split(images[:, None, None].astype(np.uint8), labels)
    parts = hold_out(small, validation_images=6, train_images=None, seed=0)
    for part in parts:
        assert set(part.labels) == {0, 1, 2, 3}
    assert len(parts[1].labels) == 6


def test_copies_are_found():
    images = np.zeros((6, 2, 2, 3), np.uint8)
    images[[1, 4], 0, 0, 0] = 1
    images[3, 1, 1, 2] = 1
    assert copies_of(images) == {
        **dict.fromkeys((0, 2, 5), [0, 2, 5]),
        **dict.fromkeys((1, 4), [1, 4]),
    }
