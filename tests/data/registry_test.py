"""Data sets by name: scikit-learn's digits, and what is held out of them."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfgan_robust.data import registry
from tfgan_robust.data.registry import load_test, load_training
from tfgan_robust.data.splits import Split, hold_out
from tfgan_robust.errors import UsageError
from tfgan_robust.runs import presets
from tfgan_robust.runs.config import DATASET_NAMES
from tfgan_robust.training import build

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


@pytest.mark.parametrize("load", [load_training, load_test])
def test_unknown_names_are_refused_with_the_known_ones(load):
    known = "must be one of cifar10, digits, folder. Received: dataset=mnist"
    with pytest.raises(UsageError, match=known):
        load("mnist")


def test_every_name_on_the_command_line_has_a_loader():
    assert set(registry.LOADERS) == set(DATASET_NAMES)


def by_pixels(*splits: Split) -> dict[bytes, int]:
    """The label of each image."""
    return {
        image.tobytes(): label
        for split in splits
        for image, label in zip(*split, strict=True)
    }


@pytest.fixture(scope="module")
def small_test() -> Split:
    return load_test("digits", image_size=8)[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_digits_are_all_of_scikit_learns_whatever_the_seed(small_test, seed):
    _, *parts = load_training("digits", image_size=8, seed=seed)
    assert [len(part.labels) for part in parts] == [1294, 143]
    assert len(small_test.labels) == 360
    original = load_digits()
    # They are from 0 to 16 bright.
    grey = np.rint(original.images * 255 / 16).astype(np.uint8)
    images = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    # No two of them are equal: none is lost, none is in two parts.
    found = by_pixels(small_test, *parts)
    assert len(found) == 1437 + 360
    assert found == by_pixels(Split(images, original.target))


def test_the_digits_test_split_is_stratified_and_fixed(small_test):
    shares = np.bincount(load_digits().target) / 1797
    counts = np.bincount(small_test.labels)
    np.testing.assert_allclose(counts, shares * 360, atol=1)
    again = load_test("digits", image_size=8)[1]
    np.testing.assert_array_equal(small_test.images, again.images)
    np.testing.assert_array_equal(small_test.labels, again.labels)


@pytest.mark.parametrize(("image_size", "side"), [(None, 16), (20, 20)])
def test_digits_are_scaled_up_with_three_equal_channels(image_size, side):
    info, test = load_test("digits", image_size=image_size)
    assert test.images.shape == (360, side, side, 3)
    assert info.image_shape == (side, side, 3)
    assert test.images.dtype == np.uint8
    assert test.labels.dtype == np.int64
    assert (test.images == test.images[..., :1]).all()
    assert test.images.max() == 255


def test_digits_are_never_mirrored():
    info, _ = load_test("digits")
    assert not info.horizontal_flip
    assert info.class_names == tuple("0123456789")


def test_digits_take_no_directory(tmp_path):
    with pytest.raises(UsageError, match="takes no data_dir") as error:
        load_test("digits", data_dir=tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("method", ["gan", "natural"])
@pytest.mark.parametrize("side", [10, 18])
def test_sizes_that_networks_cannot_take_are_refused(method, side):
    settings = presets.resolve(
        {}, {"dataset": "folder", "data_dir": "images", "method": method}
    )
    with pytest.raises(UsageError, match=f"Received: {side} x {side}; .*size"):
        build.build_model(settings, (side, side, 3), 2)
