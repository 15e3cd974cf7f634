"""CIFAR-10 that was compressed is the original's in all else."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments.reencode import reencode
from tests.photographs import compressed, photographs
from tests.small_cifar10 import archive, prepare
from tfgan_robust.data.loading import load_test
from tfgan_robust.errors import UsageError

EACH = 12


def records(number: int) -> np.ndarray:
    """A file of images that JPEG changes."""
    images = photographs(6 * EACH)[EACH * number : EACH * (number + 1)]
    labels = np.arange(EACH, dtype=np.uint8)[:, np.newaxis] % 10
    planes = images.transpose(0, 3, 1, 2).reshape(EACH, -1)
    return np.concatenate([labels, planes], axis=1)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("original")
    prepare(data_dir, archive(records))
    return data_dir


@pytest.fixture(scope="module")
def output(original, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("reencoded") / "deep"
    folder = reencode(original, data_dir)
    assert [path.name for path in data_dir.rglob("*") if path.is_dir()] == [
        "cifar10", folder.name,
    ]  # fmt: skip
    return data_dir


def examples(data_dir, split):
    builder = tfds.builder("cifar10", data_dir=data_dir)
    return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))


@pytest.mark.parametrize("split", ["train", "test"])
def test_pixels_alone_change(original, output, split):
    before, after = examples(original, split), examples(output, split)
    assert len(before["label"]) == EACH * (5 if split == "train" else 1)
    for name in ("id", "label"):
        np.testing.assert_array_equal(after[name], before[name])
    expected = compressed(before["image"], quality=75).astype(int)
    # TensorFlow's decoder rounds otherwise than Pillow's.
    assert np.abs(after["image"] - expected).max() <= 8
    assert np.abs(after["image"] - before["image"].astype(int)).max() > 30


def test_the_source_says_what_was_done(original, output):
    before, _ = load_test("cifar10", data_dir=original)
    after, _ = load_test("cifar10", data_dir=output)
    assert "JPEG" not in before.source
    assert "after JPEG compression" in after.source


def test_nothing_is_compressed_twice_or_overwritten(original, output, tmp_path):
    with pytest.raises(UsageError, match="compressed before"):
        reencode(output, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="is there already"):
        reencode(original, output)
