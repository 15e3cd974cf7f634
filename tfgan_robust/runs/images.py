"""The images of a run, from what its settings say."""

from collections.abc import Sequence
from pathlib import Path

from tfgan_robust.data.loading import load_training
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.runs.config import TrainConfig


def training_images(
    config: TrainConfig,
    *,
    data_dir: str | Path | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[DatasetInfo, Split, Split]:
    """Loads the images on which a run trains, and those that validate it.

    Args:
        config: The run's settings.
        data_dir: Where the images are, if not where the run found them.
        class_names: See `load_training`.

    Returns:
        The data set's description, training and validation images.

    Raises:
        UsageError: see `load_training`.
        DataNotFoundError: if the images are not there.
    """
    return load_training(
        config.dataset,
        data_dir=data_dir or config.data_dir,
        image_size=config.image_size,
        train_images=config.train_images,
        validation_images=config.validation_images,
        seed=config.seed,
        class_names=class_names,
    )
