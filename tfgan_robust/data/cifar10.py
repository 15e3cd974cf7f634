"""CIFAR-10 through tensorflow-datasets."""

import socket
import threading
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfgan_robust.data.provenance import source_of
from tfgan_robust.data.resizing import resize
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.data.tfds_sets import complete
from tfgan_robust.errors import DataNotFoundError

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_BYTES = 170_052_171
ARCHIVE_SHA256 = (
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
)
_HOST = ("www.cs.toronto.edu", 443)
_PATIENCE_SECONDS = 5


def load(
    data_dir: str | Path | None, image_size: int | None, split: str
) -> tuple[DatasetInfo, Split]:
    """Loads CIFAR-10, preparing it first if need be.

    Prepared data are used as they are. Otherwise tensorflow-datasets builds
    them from the archive in <data_dir>/downloads/manual, or downloads it.

    Args:
        data_dir: Directory of tensorflow-datasets; None for its default,
            which TFDS_DATA_DIR changes.
        image_size: Side in pixels; None for 32.
        split: "train" or "test".

    Returns:
        Description and images.

    Raises:
        DataNotFoundError: if the data are neither there nor downloadable,
            or damaged.
    """
    builder = tfds.builder("cifar10", data_dir=data_dir)
    if not builder.info.splits:
        _prepare(builder)
    examples = _read(builder, split)
    size = image_size or 32
    raw = np.asarray(examples["image"])
    info = DatasetInfo(
        class_names=tuple(builder.info.features["label"].names),
        image_shape=(size, size, 3),
        source=source_of(builder.info, "CIFAR-10", lambda: raw),
    )
    images = resize(raw, size)
    return info, Split(images, examples["label"].astype(np.int64))


def _read(builder: tfds.core.DatasetBuilder, split: str) -> Any:
    """Returns the arrays of a split by their names."""
    with complete(builder, "CIFAR-10"):
        return tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))


def _prepare(builder: tfds.core.DatasetBuilder) -> None:
    """Builds the data set from the archive, or downloads it."""
    manual_dir = Path(builder.data_dir).parents[1] / "downloads" / "manual"
    by_hand = (manual_dir / ARCHIVE).exists()
    advice = (
        f"Put {ARCHIVE} ({ARCHIVE_BYTES} bytes, sha256 {ARCHIVE_SHA256}) into "
        f"{manual_dir}, or give the `data_dir` of prepared data; "
        "`dataset=digits` needs no download."
    )
    if not by_hand and not _reachable():
        raise DataNotFoundError(
            f"No prepared CIFAR-10 in {builder.data_dir}, no {ARCHIVE} in "
            f"{manual_dir}, and {_HOST[0]} cannot be reached. {advice}"
        )
    config = tfds.download.DownloadConfig(
        manual_dir=manual_dir if by_hand else None, try_download_gcs=False
    )
    try:
        builder.download_and_prepare(download_config=config)
    except tfds.download.download_manager.NonMatchingChecksumError:
        source = manual_dir / ARCHIVE if by_hand else f"What {_HOST[0]} sent"
        raise DataNotFoundError(
            f"{source} is not the archive of CIFAR-10. {advice}"
        ) from None
    except (OSError, tfds.download.DownloadError) as error:
        raise DataNotFoundError(
            f"CIFAR-10 could not be prepared in {builder.data_dir}: {error}. "
            f"{advice}"
        ) from error


def _reachable() -> bool:
    """Tells within seconds whether the archive's host answers.

    tensorflow-datasets would retry for minutes. The thread bounds the look-up
    of the name as well, which has no time limit of its own.
    """
    if urllib.request.getproxies():
        return True  # The proxy answers instead; it may reach the host.
    answers: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection(_HOST, _PATIENCE_SECONDS).close()
            answers.append(True)
        except OSError:
            answers.append(False)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    return answers == [True]
