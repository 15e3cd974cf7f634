"""Trials: trainings with what is measured of them, each done once.

What is trained lies in one folder, in any place that has room; what was
measured is copied to another, which is small, goes into the repository, and is
all that tables, figures and the report read. A trial whose measurements are
there is not trained again, wherever its networks went.
"""

import dataclasses
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.files import (
    read_json_object,
    replacing,
    sha256,
    write_json,
)
from tfgan_robust.reports.reading import StoredEvaluation, read_evaluation
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve
from tfgan_robust.runs.stored import load_run_config
from tfgan_robust.training.records import read_metrics

Settings = Mapping[str, Any]
# What is kept of a run, and of an evaluation; what says that it went to its
# end comes last, since a copy may be cut off too.
_OF_RUN = ("metrics.csv", "alarms.json")
_OF_EVALUATION = ("masks.npz", "results.json")
NETWORK = "network.json"
_TIED = Path(__file__).with_name("tied.py")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One evaluation of a trained classifier.

    Attributes:
        name: Of its folder.
        flags: Of `python -m tfgan_robust.evaluate`, by name.
        joins: Another measurement of the same networks and split, whose row
            this one's accuracies are added to; of what both measured, that
            of more images counts.
    """

    name: str
    flags: Settings
    joins: str | None = None


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training, and what is measured of it.

    Attributes:
        name: Of its folder, such as "formulations/grad_x-paper-0".
        settings: Of `python -m tfgan_robust.train`, by name.
        measurements: In the order in which they are taken.
        about: What tells it from the others of its experiment, by column.
        keeps_networks: Whether its networks are needed beside what is
            measured, so that it is trained again where they are gone.
    """

    name: str
    settings: Settings
    measurements: tuple[Measurement, ...]
    about: Settings = dataclasses.field(default_factory=dict)
    keeps_networks: bool = False

    @property
    def config(self) -> TrainConfig:
        """All its settings."""
        return resolve(self.settings)


@dataclasses.dataclass(frozen=True)
class Study:
    """Where trials are.

    Attributes:
        runs: Of what is trained.
        results: Of what is kept.
        data_dir: Of the images, for data sets that have one.
        failed: What was tried in vain since the start, with the reason, by
            `title`.
    """

    runs: Path
    results: Path
    data_dir: str | None = None
    failed: dict[str, str] = dataclasses.field(default_factory=dict)

    def run(self, trial: Trial) -> RunDirectory:
        """Returns the run directory of a trial."""
        return RunDirectory(self.runs / trial.name / "run")

    def kept(self, trial: Trial) -> RunDirectory:
        """Returns what is kept of that directory."""
        return RunDirectory(self.results / "trials" / trial.name)

    def is_trained(self, trial: Trial) -> bool:
        """Tells whether a training went to its end and is kept."""
        run = self.run(trial)
        if not (run.metrics.is_file() and run.classifier("last").is_file()):
            return False
        kept = self.kept(trial).path
        file = kept / "settings.json"
        if not (file.is_file() and _holds(file, trial.settings)):
            return False
        # What is kept may be of networks that were lost.
        return _ended(run, trial) and noted_network(kept) == _network(run)

    def is_lost(self, trial: Trial) -> bool:
        """Tells whether a training is kept as done, and its networks not."""
        kept = self.kept(trial)
        return (
            kept.metrics.is_file()
            and _ended(kept, trial)
            and not self.run(trial).config.is_file()
        )

    def is_measured(self, trial: Trial, measurement: Measurement) -> bool:
        """Tells whether an evaluation went to its end and is kept.

        Raises:
            UsageError: if what is kept is of other settings.
        """
        folder = self._evaluation(trial, measurement)
        kept = self.kept(trial).path
        if not (is_complete(folder) and is_of_network(folder, kept)):
            return False
        for file, given in (
            (self.kept(trial).path / "settings.json", trial.settings),
            (folder / "flags.json", measurement.flags),
        ):
            if not _holds(file, given):
                raise UsageError(
                    f"{file} is not what {trial.name} is measured with now. "
                    "Give another folder for `--results`, or delete "
                    f"{self.kept(trial).path}."
                )
        return True

    def has_failed(
        self, trial: Trial, measurement: Measurement | None = None
    ) -> bool:
        """Tells whether this, or the training that it needs, failed."""
        return bool(
            {title(trial), title(trial, measurement)} & self.failed.keys()
        )

    def is_settled(self, trial: Trial) -> bool:
        """Tells whether nothing more is to be had of a trial now."""
        return all(
            self.has_failed(trial, each) or self.is_measured(trial, each)
            for each in trial.measurements
        )

    def train(self, trial: Trial) -> None:
        """Trains, or finishes what was begun; see `command`."""
        run = self.run(trial)
        settings = dict(trial.settings)
        if self.data_dir is not None:
            settings["data_dir"] = self.data_dir
        file = run.path.with_name("settings.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, settings)
        log = run.path.with_name("train.log")
        command("train", log, config=file, run_dir=run.path, report_images=0)
        kept = self.kept(trial).path
        _copy(run.path, kept, _OF_RUN)
        self._note_network(trial, kept)
        # Where the images are depends on the machine.
        stored = read_json_object(run.config)
        stored["settings"]["data_dir"] = None
        write_json(self.kept(trial).config, stored)
        write_json(kept / "settings.json", dict(trial.settings))

    def measure(self, trial: Trial, measurement: Measurement) -> None:
        """Measures, or finishes what was begun; see `command`."""
        run = self.run(trial).path
        output = run.with_name(measurement.name)
        flags = {"data_dir": self.data_dir, **measurement.flags}
        given = {name: v for name, v in flags.items() if v is not None}
        log = run.with_name(f"{measurement.name}.log")
        command("evaluate", log, run_dir=run, output=output, **given)
        kept = self._evaluation(trial, measurement)
        kept.mkdir(parents=True, exist_ok=True)
        # It may be of a network that was lost.
        (kept / "results.json").unlink(missing_ok=True)
        write_json(kept / "flags.json", dict(measurement.flags))
        self._note_network(trial, kept)
        _copy(output, kept, _OF_EVALUATION)

    def evaluation(
        self, trial: Trial, measurement: Measurement
    ) -> StoredEvaluation:
        """Returns what was measured.

        Raises:
            UsageError: if it was not.
        """
        return read_evaluation(self._evaluation(trial, measurement))

    def config(self, trial: Trial) -> TrainConfig:
        """Returns what it was trained with, whatever the defaults are now."""
        return load_run_config(self.kept(trial).path)

    def training_seconds(self, trial: Trial, epochs: int) -> float:
        """Returns how long steps took at the pace of the median epoch.

        Pauses, and epochs beside which the machine did something else, count
        no more than any other; validation does not.

        Args:
            trial: What was trained.
            epochs: How many of its epochs.
        """
        rows = read_metrics(self.kept(trial).metrics)
        pace = statistics.median(row["images_per_second"] for row in rows)
        steps = max(row["step"] for row in rows if row["epoch"] <= epochs)
        return steps * self.config(trial).batch_size / pace

    def device(self, trial: Trial) -> str:
        """Returns what trained it."""
        return str(read_json_object(self.kept(trial).config)["device"])

    def _note_network(self, trial: Trial, folder: Path) -> None:
        """Notes which network it is that is kept, or was measured."""
        write_json(folder / NETWORK, _network(self.run(trial)))

    def _evaluation(self, trial: Trial, measurement: Measurement) -> Path:
        return self.kept(trial).path / measurement.name


def title(trial: Trial, measurement: Measurement | None = None) -> str:
    """Returns a few words on a training, or on one of its measurements."""
    if measurement is None:
        return f"train {trial.name}"
    return f"measure {trial.name}, {measurement.name}"


def is_of_network(folder: Path, kept: Path) -> bool:
    """Tells whether something is of the network that was trained last.

    A trial whose networks were lost is trained again, to other weights. What
    older versions kept says of no network, and is taken as it is unless it was
    trained again.

    Args:
        folder: Of what is kept of a measurement.
        kept: Of its trial.
    """
    trained = noted_network(kept)
    return trained is None or noted_network(folder) == trained


def _network(run: RunDirectory) -> dict[str, Any]:
    """Returns what tells the network of a run from others."""
    return {"last": sha256(run.classifier("last"))}


def noted_network(folder: Path) -> dict[str, Any] | None:
    """Returns what tells the network of a folder from others, if noted."""
    file = folder / NETWORK
    return read_json_object(file) if file.is_file() else None


def is_complete(folder: Path) -> bool:
    """Tells whether a folder holds an evaluation that went to its end."""
    file = folder / "results.json"
    return file.is_file() and bool(read_json_object(file).get("complete"))


def command(name: str, log: Path, **flags: Any) -> None:
    """Runs one of the package's command lines, in a process of its own.

    An interruption is passed on once, and the command's own end awaited, so
    that it leaves what it can go on from; see `tied.py` for a kill. One that
    still ends in the folder of the log is awaited first.

    Args:
        name: Such as "train".
        log: Where its output is added.
        **flags: By name.

    Raises:
        TfganRobustError: if it fails, with its last line.
    """
    given = [f"--{flag}={value}" for flag, value in flags.items()]
    starter = [sys.executable, "-P", str(_TIED), str(os.getpid())]
    lock = str(log.with_name(".lock"))
    words = [*starter, lock, f"tfgan_robust.{name}", *given]
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            words, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
    if code:
        lines = log.read_text("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        raise TfganRobustError(
            f"{name} ended with exit code {code}: "
            f"{said[-1] if said else 'it said nothing'} (log: {log})"
        )


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (source / name).is_file():
            with replacing(target / name) as partial:
                shutil.copyfile(source / name, partial)


def _ended(run: RunDirectory, trial: Trial) -> bool:
    """Tells whether a run's figures are those of its last epoch, too."""
    return int(read_metrics(run.metrics)[-1]["epoch"]) == trial.config.epochs


def as_stored(given: Settings) -> dict[str, Any]:
    """Returns settings as JSON has them, which knows no tuples."""
    return dict(json.loads(json.dumps(dict(given))))


def _holds(file: Path, given: Settings) -> bool:
    return read_json_object(file) == as_stored(given)
