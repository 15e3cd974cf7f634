"""Prepares devices, data and folders, and trains in them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfgan_robust import files
from tfgan_robust.classifiers.loading import Classifier
from tfgan_robust.classifiers.preflight import check_classifier
from tfgan_robust.cli import importing
from tfgan_robust.data.loading import load_training
from tfgan_robust.data.splits import DatasetInfo
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.runs import directory
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training import devices
from tfgan_robust.training.loop import Trainer

# Images on which a classifier of a file is tried.
_CHECKED = 256


def train_all(plan: Sequence[tuple[RunDirectory, TrainConfig]]) -> int:
    """Trains several configurations on the same data, one after another.

    Args:
        plan: Run directories and their settings, which agree in devices and
            data. Folders are made only once everything is known to fit.

    Returns:
        The exit code of the first that did not finish, else 0.

    Raises:
        UsageError: if data and settings do not fit, or a file's classifier
            expects other images.
        DataNotFoundError: if the data set is not there.
        DivergenceError: see `Trainer.train`.
    """
    first = plan[0][1]
    strategy = devices.configure(first)
    info, training, validation = load_training(
        first.dataset,
        data_dir=first.data_dir,
        image_size=first.image_size,
        train_images=first.train_images,
        validation_images=first.validation_images,
        seed=first.seed,
    )
    for run, config in plan:
        trainer = Trainer(config, run, strategy, info, training, validation)
        if config.classifier not in NETWORKS:
            # Which pixels trained weights expect shows on images alone.
            check_classifier(
                Classifier.from_keras(trainer.model.classifier),
                np.asarray(training.images[:_CHECKED]),
                np.asarray(training.labels[:_CHECKED]),
                allow_random=True,
            )
        with directory.locked(run):
            if not run.config.exists():
                files.write_json(run.config, _describe_run(config, info))
            code = trainer.train()
        if code != 0:
            return code
        keras.backend.clear_session()
    return 0


def _describe_run(config: TrainConfig, info: DatasetInfo) -> dict[str, Any]:
    """What `config.json` holds."""
    return {
        "settings": dataclasses.asdict(config),
        "versions": directory.versions(),
        "imports": importing.IMPORTED,
        "seed": config.seed,
        "device": describe_devices(config.num_devices),
        "dataset": {
            "name": config.dataset,
            "source": info.source,
            "class_names": list(info.class_names),
            "image_shape": list(info.image_shape),
            "num_classes": info.num_classes,
        },
    }
