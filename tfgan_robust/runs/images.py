"""The images of a run, from what its settings say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfgan_robust.data.loading import load_training
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.identity import Identity, differences, of_images
from tfgan_robust.runs.config import TrainConfig


def training_images(
    config: TrainConfig,
    *,
    data_dir: str | Path | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[DatasetInfo, Split, Split]:
    """Loads the images on which a run trains, and those that validate it.

    Which these are does not depend on the run's seed: runs of several seeds
    compare, and what goes on from another run is not validated with what that
    one has learnt.

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
        class_names=class_names,
    )


def identities(
    info: DatasetInfo, training: Split, validation: Split
) -> dict[str, Identity]:
    """Returns what tells a run's images from others, by what they are for.

    Args:
        info: See `training_images`, as the rest.
        training: Images.
        validation: Images.
    """
    return {
        "training": of_images(*training, info.class_names),
        "validation": of_images(*validation, info.class_names),
    }


def changed_images(
    there: Mapping[str, Any], here: Mapping[str, Any]
) -> list[str]:
    """Returns what differs between the images of two trainings.

    Args:
        there: Their `identities`.
        here: Those of others.
    """
    changed = [
        f"{name} of {part}" if name != "class names" else name
        for part, identity in here.items()
        for name in differences(there.get(part, {}), identity)
    ]
    return list(dict.fromkeys(changed))
