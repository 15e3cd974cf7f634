"""Prepares devices, data and folders, and trains in them."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust import files
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.preflight import check_classifier
from tfgan_robust.cli import importing
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import UsageError
from tfgan_robust.files import sha256
from tfgan_robust.identity import differences, of_arrays
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.networks.pretrained import locate
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.reports.progress import say
from tfgan_robust.runs import directory, stored
from tfgan_robust.runs.cluster import Cluster
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.images import (
    changed_images,
    identities,
    training_images,
)
from tfgan_robust.training import devices
from tfgan_robust.training.loop import Trainer
from tfgan_robust.training.precision import Precision, continued
from tfgan_robust.training.team import Team

# Other versions of these compute otherwise.
_COMPUTING = ("tfgan_robust", "tensorflow", "keras")
# Images on which a classifier of a file is tried.
_CHECKED = 256


def train_all(
    plan: Sequence[tuple[RunDirectory, TrainConfig]],
    cluster: Cluster | None = None,
    worker_timeout: float = 0.0,
    report: Callable[[], None] | None = None,
) -> int:
    """Trains several configurations on the same data, one after another.

    Args:
        plan: Run directories and their settings, which agree in devices and
            data. Folders are made only once everything is known to fit.
        cluster: The machines that train together; None for this one alone.
        worker_timeout: Seconds in which all of them must come.
        report: Called once all is trained, while other machines wait.

    Returns:
        The exit code of the first that did not finish, else 0.

    Raises:
        UsageError: if data and settings do not fit, a file's classifier
            expects other images, or another worker has others.
        TfganRobustError: if another worker does not come, or is lost.
        DataNotFoundError: if the data set is not there.
        DivergenceError: see `Trainer.train`.
    """
    first = plan[0][1]
    if cluster is not None:
        devices.check_devices(first, cluster, devices.count_devices(first))
    with Team(cluster, worker_timeout) as team:
        team.check_equal("settings", _settings(plan), _differing)
        code = _train_all(plan, devices.configure(first, cluster), team)
        if code == 0 and report is not None:
            report()
    return code


def _settings(
    plan: Sequence[tuple[RunDirectory, TrainConfig]],
) -> list[dict[str, Any]]:
    """What all workers must have been given alike, and be."""
    versions = stored.versions()
    return [
        {
            **dataclasses.asdict(config),
            "devices": devices.name_devices(config),
            "content of the classifier's file": _content(config),
            **{name: versions[name] for name in _COMPUTING},
        }
        for _, config in plan
    ]


def _content(config: TrainConfig) -> str | None:
    """Tells files apart that lie at one path on several machines."""
    if config.classifier in NETWORKS:
        return None
    path = locate(config.classifier)
    return sha256(path) if path.is_file() else None


def _weights(trainer: Trainer) -> dict[str, str]:
    """A digest of what each network of a run begins with."""
    return {
        player.name: of_arrays(
            {
                f"{place} {variable.name}": np.asarray(variable)
                for place, variable in enumerate(player.network.weights)
            }
        )
        for player in trainer.model.players()
    }


def _differing(
    chief: list[dict[str, Any]], other: list[dict[str, Any]]
) -> list[str]:
    if len(chief) != len(other):
        return [f"baseline: {len(other) > 1} there, {len(chief) > 1} here"]
    return [
        line
        for here, there in zip(chief, other, strict=True)
        for line in stored.changed_settings(there, here)
    ]


def _train_all(
    plan: Sequence[tuple[RunDirectory, TrainConfig]],
    strategy: tf.distribute.Strategy,
    team: Team,
) -> int:
    first = plan[0][1]
    info, training, validation = training_images(first)
    belongs_to = identities(info, training, validation)
    team.check_equal("images", belongs_to, changed_images)
    if team.leads:
        for note in info.notes:
            say(f"NOTE: {note}")
    for run, _ in plan:
        if team.leads and run.config.exists():
            _check_same_data(run, belongs_to)

    def prepared(run: RunDirectory, config: TrainConfig) -> Trainer:
        precision = _precision(run, plan, team)
        trainer = Trainer(
            config, precision, run, strategy, team, info, training, validation
        )
        _check_networks(trainer, config, team, training)
        return trainer

    for run, config in plan[1:]:
        # What cannot be trained is said before the first took its hours.
        prepared(run, config)
        keras.backend.clear_session()
    for run, config in plan:
        begun = team.leads and run.config.exists()
        trainer = prepared(run, config)
        with directory.locked(run) if team.leads else nullcontext():
            if team.leads and not begun:
                _check_still_new(run)
                described = _describe_run(config, info, belongs_to)
                described["precision"] = trainer.precision._asdict()
                described["workers"] = team.count
                files.write_json(run.config, described)
            code = trainer.train()
        if code != 0:
            return code
        keras.backend.clear_session()
    return 0


def _precision(
    run: RunDirectory,
    plan: Sequence[tuple[RunDirectory, TrainConfig]],
    team: Team,
) -> Precision:
    """Returns that of a run, or of another of its plan, since they compare."""
    runs = [run, *(each for each, _ in plan)] if team.leads else []
    chosen = continued([each.path for each in runs], plan[0][1].precision)
    # All machines compute in one.
    return Precision(*team.from_chief(chosen))


def _check_networks(
    trainer: Trainer, config: TrainConfig, team: Team, training: Split
) -> None:
    """Refuses networks that differ between workers, or expect other pixels.

    Raises:
        UsageError: saying which, or what they expect.
    """
    if team.count > 1:
        # Such as by code of a user's own.
        team.check_equal("weights", _weights(trainer), differences)
    if config.classifier not in NETWORKS:
        # Which pixels trained weights expect shows on images alone.
        check_classifier(
            Classifier.from_keras(trainer.model.classifier),
            np.asarray(training.images[:_CHECKED]),
            np.asarray(training.labels[:_CHECKED]),
            allow_random=True,
        )


def _check_still_new(run: RunDirectory) -> None:
    """Refuses a run that another process has begun and left meanwhile.

    Raises:
        UsageError: if there is one.
    """
    if run.config.exists():
        raise UsageError(
            f"Another process has begun a run in {run.path} meanwhile. The "
            "same command goes on with it if the settings are the same; "
            "otherwise give another `run_dir`."
        )


def _check_same_data(run: RunDirectory, belongs_to: dict[str, Any]) -> None:
    """Refuses to go on with other images than a run began with.

    Raises:
        UsageError: saying what changed.
    """
    there = stored.stored_dataset(run.path).get("identity")
    if there is None:
        say(
            f"NOTE: {run.path} is of an earlier version, which did not keep "
            "what its images were; whether these are the same is not known"
        )
        return
    changed = changed_images(there, belongs_to)
    if changed:
        raise UsageError(
            f"The data have changed since {run.path} was begun: "
            f"{', '.join(changed)}. Restore them, or train "
            "with another `run_dir`."
        )


def _describe_run(
    config: TrainConfig, info: DatasetInfo, belongs_to: dict[str, Any]
) -> dict[str, Any]:
    """What `config.json` holds."""
    return {
        "settings": dataclasses.asdict(config),
        "versions": stored.versions(),
        "imports": importing.IMPORTED,
        "seed": config.seed,
        "device": describe_devices(config.num_devices),
        "dataset": {
            "name": config.dataset,
            "source": info.source,
            "class_names": list(info.class_names),
            "image_shape": list(info.image_shape),
            "num_classes": info.num_classes,
            "notes": list(info.notes),
            "identity": belongs_to,
        },
    }
