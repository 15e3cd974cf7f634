"""CIFAR-10: prepared, from an archive placed by hand, damaged, absent."""

import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.small_cifar10 import (
    META,
    URL,
    archive,
    fail_with,
    place,
    prepare,
    refuse_network,
    register,
)
from tfgan_robust.data import cifar10
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.errors import DataNotFoundError
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.session import train_all

NAMES = tuple(META.decode().split())
IMAGES_PER_FILE = 12


def records(seed: int) -> np.ndarray:
    """One file of the binary format: label, then red, green, blue planes."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(
        256, size=(IMAGES_PER_FILE, 1 + 3072), dtype=np.uint8
    )
    rows[:, 0] = generator.integers(10, size=IMAGES_PER_FILE)
    return rows


ARCHIVE = archive(records)


def prepare_by(monkeypatch: pytest.MonkeyPatch, how) -> None:
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", how)


def refused(data_dir: Path, load=load_test) -> str:
    """The message for data that are not there."""
    with pytest.raises(DataNotFoundError) as error:
        load("cifar10", data_dir=data_dir)
    return str(error.value)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared from an archive placed by hand."""
    data_dir = tmp_path_factory.mktemp("tfds")
    prepare(data_dir, ARCHIVE)
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


def test_prepared_data_are_used_as_they_are(prepared, monkeypatch):
    refuse_network(monkeypatch)
    prepare_by(monkeypatch, fail_with(AssertionError("prepared again")))
    info, test = load_test("cifar10", data_dir=str(prepared))
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


@pytest.mark.parametrize("length", [None, 0.5, 0.9])
def test_damaged_data_are_said_to_be(prepared, length, tmp_path, monkeypatch):
    refuse_network(monkeypatch)
    data_dir = shutil.copytree(prepared, tmp_path / "copy")
    (records,) = data_dir.glob("cifar10/*/*train*")
    whole = records.read_bytes()
    records.unlink()
    if length is not None:
        records.write_bytes(whole[: int(length * len(whole))])
    message = refused(data_dir, load_training)
    assert f"{records.parent} is incomplete or damaged; delete" in message


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
    register(monkeypatch, ARCHIVE)
    refuse_network(monkeypatch)
    path = place(tmp_path, content)
    message = refused(tmp_path)
    assert message.startswith(f"{path} is not the archive")
    assert f"sha256 {cifar10.ARCHIVE_SHA256}" in message
    place(tmp_path, ARCHIVE)
    _, test = load_test("cifar10", data_dir=tmp_path)
    assert len(test.labels) == IMAGES_PER_FILE


def test_another_archive_than_the_published_one_is_refused(
    tmp_path, monkeypatch
):
    refuse_network(monkeypatch)
    place(tmp_path, ARCHIVE)
    assert "is not the archive" in refused(tmp_path, load_training)


def test_the_stated_archive_is_the_one_that_tensorflow_datasets_expects():
    expected = tfds.builder_cls("cifar10").url_infos[URL]
    assert expected.size == cifar10.ARCHIVE_BYTES
    assert expected.checksum == cifar10.ARCHIVE_SHA256
    assert expected.filename == cifar10.ARCHIVE


def assert_tells_how_to_place(message: str, data_dir: Path) -> None:
    for part in (
        f"Put {cifar10.ARCHIVE} (170052171 bytes, sha256 c4a38c50a1bc5f3a1c5",
        f"into {data_dir}/downloads/manual",
        "give the `data_dir` of prepared data",
        "`dataset=digits` needs no download",
    ):
        assert part in message


@pytest.mark.parametrize("load", [load_training, load_test])
def test_without_network_nothing_is_waited_for(load, tmp_path, monkeypatch):
    refuse = fail_with(OSError("Network is unreachable"))
    monkeypatch.setattr(socket, "create_connection", refuse)
    prepare_by(monkeypatch, fail_with(AssertionError("began to download")))
    message = refused(tmp_path, load)
    assert message.startswith(f"No prepared CIFAR-10 in {tmp_path}/cifar10/")
    assert "cannot be reached" in message
    assert_tells_how_to_place(message, tmp_path)


@pytest.mark.parametrize(
    "failure",
    [ConnectionResetError("gone"), tfds.download.DownloadError("HTTP 404")],
)
def test_a_download_that_fails_says_why_and_what_to_do(
    failure, tmp_path, monkeypatch
):
    monkeypatch.setattr(cifar10, "_reachable", lambda: True)
    prepare_by(monkeypatch, fail_with(failure))
    message = refused(tmp_path)
    assert str(failure) in message
    assert_tells_how_to_place(message, tmp_path)


def test_a_host_that_never_answers_is_given_up(monkeypatch):
    over = threading.Event()

    def connect(*_):
        over.wait()
        raise OSError("Timed out")

    monkeypatch.setattr(cifar10, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(socket, "create_connection", connect)
    try:
        assert not cifar10._reachable()
    finally:
        over.set()


def test_a_host_that_answers_is_reachable(monkeypatch):
    here, there = socket.socketpair()
    monkeypatch.setattr(socket, "create_connection", lambda *_: here)
    assert cifar10._reachable()
    assert here.fileno() == -1  # Closed again.
    there.close()


def test_training_without_data_leaves_nothing(tmp_path, monkeypatch):
    refuse = fail_with(OSError("Network is unreachable"))
    monkeypatch.setattr(socket, "create_connection", refuse)
    run, data_dir = RunDirectory(tmp_path / "run"), tmp_path / "empty"
    data_dir.mkdir()
    with pytest.raises(DataNotFoundError, match="No prepared") as error:
        train_all([(run, resolve({"data_dir": str(data_dir)}))])
    assert error.value.exit_code == 4
    assert_tells_how_to_place(str(error.value), data_dir)
    assert not run.path.exists()
    assert not list(data_dir.iterdir())


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
