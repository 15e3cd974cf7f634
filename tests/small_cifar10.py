"""The archive of CIFAR-10 with a few images of one's own, placed by hand."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfgan_robust.data import cifar10
from tfgan_robust.data.loading import load_test

META = (
    b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"
)
TRAIN_FILES = [f"data_batch_{number}.bin" for number in range(1, 6)]
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"


def archive(records: Callable[[int], np.ndarray]) -> bytes:
    """An archive laid out as that of CIFAR-10.

    Args:
        records: Returns the rows of a file by its number, uint8 [n, 3073]:
            label, then red, green, blue planes.
    """
    files = {
        name: records(number).tobytes()
        for number, name in enumerate([*TRAIN_FILES, "test_batch.bin"])
    }
    files["batches.meta.txt"] = META
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def place(data_dir: Path, content: bytes) -> Path:
    path = data_dir / "downloads" / "manual" / cifar10.ARCHIVE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def register(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Lets TensorFlow Datasets expect an archive."""
    info = tfds.download.checksums.UrlInfo(
        size=len(content),
        checksum=hashlib.sha256(content).hexdigest(),
        filename=cifar10.ARCHIVE,
    )
    builder = tfds.builder_cls("cifar10")
    monkeypatch.setattr(builder, "url_infos", {URL: info})


def fail_with(error: Exception) -> Callable[..., NoReturn]:
    """A function of any arguments that raises."""

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    return fail


def refuse_network(monkeypatch: pytest.MonkeyPatch) -> None:
    fail = fail_with(AssertionError("asked the network"))
    monkeypatch.setattr(cifar10, "_reachable", fail)


def prepare(data_dir: Path, content: bytes) -> None:
    """Prepares a data set from an archive."""
    place(data_dir, content)
    with pytest.MonkeyPatch.context() as monkeypatch:
        register(monkeypatch, content)
        refuse_network(monkeypatch)
        load_test("cifar10", data_dir=data_dir)
