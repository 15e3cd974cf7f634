"""CIFAR-10: prepared, from an archive placed by hand, damaged."""

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfgan_robust.data import cifar10
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.errors import DataNotFoundError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
META = (
    b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"
)
NAMES = tuple(META.decode().split())
TRAIN_FILES = [f"data_batch_{number}.bin" for number in range(1, 6)]
IMAGES_PER_FILE = 12


def records(seed: int) -> np.ndarray:
    """One file of the binary format: label, then red, green, blue planes."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(
        256, size=(IMAGES_PER_FILE, 1 + 3072), dtype=np.uint8
    )
    rows[:, 0] = generator.integers(10, size=IMAGES_PER_FILE)
    return rows


def archive() -> bytes:
    """A small archive laid out as that of CIFAR-10."""
    files = {
        name: records(seed).tobytes()
        for seed, name in enumerate([*TRAIN_FILES, "test_batch.bin"])
    }
    files["batches.meta.txt"] = META
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = archive()


def place(data_dir: Path, content: bytes) -> Path:
    path = data_dir / "downloads" / "manual" / cifar10.ARCHIVE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def register_small_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets TensorFlow Datasets expect the small archive."""
    info = tfds.download.checksums.UrlInfo(
        size=len(ARCHIVE),
        checksum=hashlib.sha256(ARCHIVE).hexdigest(),
        filename=cifar10.ARCHIVE,
    )
    monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", {URL: info})


def refuse_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_):
        raise AssertionError("asked the network")

    monkeypatch.setattr(cifar10, "_reachable", connect)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared from an archive placed by hand."""
    data_dir = tmp_path_factory.mktemp("tfds")
    place(data_dir, ARCHIVE)
    with pytest.MonkeyPatch.context() as monkeypatch:
        register_small_archive(monkeypatch)
        refuse_network(monkeypatch)
        load_test("cifar10", data_dir=data_dir)
    return data_dir


def by_pixels(images: np.ndarray, labels: np.ndarray) -> dict[bytes, int]:
    """The label of each image, whatever the order."""
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    return {
        image.tobytes(): label
        for image, label in zip(images, labels, strict=True)
    }


def in_archive(*seeds: int) -> dict[bytes, int]:
    rows = np.concatenate([records(seed) for seed in seeds])
    planes = rows[:, 1:].reshape(-1, 3, 32, 32)
    return by_pixels(planes.transpose(0, 2, 3, 1), rows[:, 0].astype(int))


def test_an_archive_placed_by_hand_gives_its_test_images(prepared):
    info, test = load_test("cifar10", data_dir=prepared)
    assert by_pixels(*test) == in_archive(5)
    assert info.class_names == NAMES
    assert info.num_classes == 10
    assert info.image_shape == (32, 32, 3)


def test_an_archive_placed_by_hand_gives_its_training_images(prepared):
    _, training, validation = load_training("cifar10", data_dir=prepared)
    assert len(validation.labels) == 6
    assert len(training.labels) == 54
    found = by_pixels(*training) | by_pixels(*validation)
    assert found == in_archive(0, 1, 2, 3, 4)


def test_prepared_data_are_used_as_they_are(prepared, monkeypatch):
    def prepare(*_, **__):
        raise AssertionError("prepared again")

    refuse_network(monkeypatch)
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", prepare
    )
    _, test = load_test("cifar10", data_dir=str(prepared))
    assert len(test.labels) == IMAGES_PER_FILE


@pytest.mark.parametrize("length", [None, 0.5, 0.9])
def test_damaged_data_are_said_to_be(prepared, length, tmp_path, monkeypatch):
    refuse_network(monkeypatch)
    data_dir = shutil.copytree(prepared, tmp_path / "copy")
    (records,) = data_dir.glob("cifar10/*/*train*")
    whole = records.read_bytes()
    records.unlink()
    if length is not None:
        records.write_bytes(whole[: int(length * len(whole))])
    with pytest.raises(DataNotFoundError, match="damaged; delete") as error:
        load_training("cifar10", data_dir=data_dir)
    assert str(records.parent) in str(error.value)


def test_images_are_resized(prepared):
    info, small = load_test("cifar10", data_dir=prepared, image_size=16)
    _, full = load_test("cifar10", data_dir=prepared)
    assert info.image_shape == (16, 16, 3)
    assert small.images.shape == (IMAGES_PER_FILE, 16, 16, 3)
    assert small.images.dtype == np.uint8
    np.testing.assert_array_equal(small.labels, full.labels)
    # Interpolation may move the mean of noise, but little.
    for images, others in zip(small.images, full.images, strict=True):
        assert abs(images.mean() - others.mean()) < 5


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", ARCHIVE[:-100]],
    ids=["empty", "other", "truncated"],
)
def test_a_wrong_archive_is_refused_until_replaced(
    content, tmp_path, monkeypatch
):
    register_small_archive(monkeypatch)
    refuse_network(monkeypatch)
    path = place(tmp_path, content)
    with pytest.raises(DataNotFoundError) as error:
        load_test("cifar10", data_dir=tmp_path)
    assert str(error.value).startswith(f"{path} is not the archive")
    assert f"sha256 {cifar10.ARCHIVE_SHA256}" in str(error.value)
    place(tmp_path, ARCHIVE)
    _, test = load_test("cifar10", data_dir=tmp_path)
    assert len(test.labels) == IMAGES_PER_FILE


def test_another_archive_than_the_published_one_is_refused(
    tmp_path, monkeypatch
):
    refuse_network(monkeypatch)
    place(tmp_path, ARCHIVE)
    with pytest.raises(DataNotFoundError, match="is not the archive"):
        load_training("cifar10", data_dir=tmp_path)


def test_the_stated_archive_is_the_one_that_tensorflow_datasets_expects():
    expected = tfds.builder_cls("cifar10").url_infos[URL]
    assert expected.size == cifar10.ARCHIVE_BYTES
    assert expected.checksum == cifar10.ARCHIVE_SHA256
    assert expected.filename == cifar10.ARCHIVE


@pytest.mark.skipif(
    not tfds.builder("cifar10").info.splits,
    reason="CIFAR-10 is not prepared in TFDS_DATA_DIR",
)
def test_the_real_images():
    info, test = load_test("cifar10")
    assert info.class_names == NAMES
    assert test.images.shape == (10_000, 32, 32, 3)
    assert (np.bincount(test.labels) == 1000).all()
    # The well-known means of red, green and blue.
    np.testing.assert_allclose(
        test.images.mean((0, 1, 2)) / 255, (0.491, 0.482, 0.447), atol=0.01
    )
