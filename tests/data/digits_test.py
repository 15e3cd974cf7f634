"""Scikit-learn's digits: complete, fixed, scaled up."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.data.splits import Split
from tfgan_robust.errors import UsageError


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
    assert info.class_names == tuple("0123456789")
    assert test.images.dtype == np.uint8
    assert test.labels.dtype == np.int64
    assert (test.images == test.images[..., :1]).all()
    assert test.images.max() == 255


def test_digits_take_no_directory(tmp_path):
    with pytest.raises(UsageError, match="takes no `data_dir`") as error:
        load_test("digits", data_dir=tmp_path)
    assert str(tmp_path) in str(error.value)
