"""Loads a data set by its name on the command line."""

from collections.abc import Callable
from pathlib import Path

from tfgan_robust.data import cifar10, digits, folder
from tfgan_robust.data.splits import DatasetInfo, Split, hold_out
from tfgan_robust.errors import UsageError

# From a directory and an image size, either perhaps None, and the name of a
# split, "train" or "test".
Loader = Callable[
    [str | Path | None, int | None, str], tuple[DatasetInfo, Split]
]

LOADERS: dict[str, Loader] = {
    "cifar10": cifar10.load,
    "digits": digits.load,
    "folder": folder.load,
}


def load_training(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    train_images: int | None = None,
    validation_images: int | None = None,
    seed: int = 0,
) -> tuple[DatasetInfo, Split, Split]:
    """Loads the training split, with validation images held out of it.

    Args:
        dataset: "cifar10", "digits" or "folder".
        data_dir: Where the data lie; see the loaders.
        image_size: Side in pixels to which images are resized; None for the
            data set's own.
        train_images: How many images to train on; None for all that
            validation leaves.
        validation_images: How many to hold out; None for 10 percent.
        seed: Decides which images are held out.

    Returns:
        The data set's description, training and validation images.

    Raises:
        UsageError: for an unknown name, bad images or too few.
        DataNotFoundError: if the data are neither there nor downloadable.
    """
    info, everything = _loader(dataset)(data_dir, image_size, "train")
    training, validation = hold_out(
        everything,
        validation_images=validation_images,
        train_images=train_images,
        seed=seed,
    )
    return info, training, validation


def load_test(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
) -> tuple[DatasetInfo, Split]:
    """Loads the test split in its original order.

    Args:
        dataset: "cifar10", "digits" or "folder".
        data_dir: Where the data lie; see the loaders.
        image_size: Side in pixels to which images are resized; None for the
            data set's own.

    Returns:
        The data set's description and its test images.

    Raises:
        UsageError: for an unknown name or bad images.
        DataNotFoundError: if the data are neither there nor downloadable.
    """
    return _loader(dataset)(data_dir, image_size, "test")


def _loader(dataset: str) -> Loader:
    if dataset not in LOADERS:
        raise UsageError(
            f"`dataset` must be one of {', '.join(LOADERS)}. "
            f"Received: dataset={dataset}."
        )
    return LOADERS[dataset]
