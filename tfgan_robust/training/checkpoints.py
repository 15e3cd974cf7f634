"""Saving and resuming a run, exactly.

Keras' own `BackupAndRestore` loses the state of all optimizers but one and
the seeds of dropout; here every variable is stored, and a checkpoint that
does not hold each of them is refused.
"""

import functools
import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tfgan_robust.errors import TfganRobustError
from tfgan_robust.networks.storing import save_network
from tfgan_robust.training.model import AdversarialClassifier
from tfgan_robust.training.team import Team

_KEPT = 2
_OURS = re.compile(r"ckpt-([0-9]+)\.index")
_PART = re.compile(r"ckpt-([0-9]+)\.(index|data-[0-9]+-of-[0-9]+)")


class RunState:
    """All that a run needs to go on where it stopped.

    Args:
        model: The compiled model.
        directory: Where checkpoints lie.

    Attributes:
        progress: JSON values that travel with the weights: the step, the
            best score so far, and the like.
    """

    def __init__(self, model: AdversarialClassifier, directory: Path) -> None:
        self.progress: dict[str, Any] = {}
        self._progress = tf.Variable("{}", dtype=tf.string)
        # What they are over all devices, which no device can tell alone.
        self._live = [list(metric.variables) for metric in model.metrics]
        self._means = [
            [tf.Variable(variable.value.numpy()) for variable in variables]
            for variables in self._live
        ]
        self._checkpoint = tf.train.Checkpoint(
            progress=self._progress,
            networks=_values(model.variables),
            metrics=self._means,
            optimizers=[
                _values(optimizer.variables)
                for optimizer in [model.optimizer, *model.generator_optimizers]
            ],
        )
        self._directory = directory

    @functools.cached_property
    def _manager(self) -> tf.train.CheckpointManager:
        """Made by who writes, since it looks into the folder."""
        _clear(self._directory)
        return tf.train.CheckpointManager(
            self._checkpoint, str(self._directory), max_to_keep=_KEPT
        )

    def collect(self) -> None:
        """Takes what `save` writes from all devices; all workers call it."""
        for variables, means in zip(self._live, self._means, strict=True):
            for variable, mean in zip(variables, means, strict=True):
                mean.assign(variable.value.numpy())

    def save(self, step: int) -> None:
        """Writes a checkpoint of what was collected; the one before stays.

        Raises:
            TfganRobustError: if the disk refuses it.
        """
        self._progress.assign(json.dumps(self.progress))
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            raise TfganRobustError(
                f"Cannot write a checkpoint to {self._manager.directory}: "
                f"{error}"
            ) from None
        _remove_old(Path(self._manager.directory), step)

    def restore(self, team: Team | None = None) -> bool:
        """Restores the chief's newest checkpoint that is whole.

        Args:
            team: Workers that train together, all of which must call this.

        Returns:
            Whether there was one.

        Raises:
            TfganRobustError: if there are checkpoints and none is whole, or
                a worker is gone.
        """
        team = team or Team()
        path = self._read_newest() if team.leads else None
        if not team.from_chief(path is not None):
            return False
        self._share(path, team)
        # Devices divide these among them, which all must do together.
        for variables, means in zip(self._live, self._means, strict=True):
            for variable, mean in zip(variables, means, strict=True):
                variable.assign(mean)
        self.progress = json.loads(self._progress.numpy())
        return True

    def _read_newest(self) -> Path | None:
        # By the files, not by TensorFlow's list of them: were that list
        # damaged, the run would silently start over.
        files = Path(self._manager.directory).glob("ckpt-*.index")
        paths = sorted(
            (str(f.with_suffix("")) for f in files if _OURS.fullmatch(f.name)),
            key=_step,
        )
        for path in reversed(paths):
            try:
                self._read(path)
            # A damaged file surfaces as almost anything, IndexError included.
            except Exception as error:
                logging.warning(
                    "Checkpoint %s is damaged (%s); trying the one before.",
                    path,
                    type(error).__name__,
                )
                continue
            return Path(path)
        if paths:
            raise TfganRobustError(
                f"No checkpoint in {self._manager.directory} can be read. "
                "Remove the run directory to start over."
            )
        return None

    def _share(self, path: Path | None, team: Team) -> None:
        """Has all workers read what the chief has read, from a copy."""
        if team.count == 1:
            return
        own = path.parent.glob(f"{path.name}.*") if path else ()
        sent = {file.name: file.read_bytes() for file in own}
        files = team.files_from_chief(sent)
        if team.leads:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            (index,) = Path(folder).glob("*.index")
            self._read(str(index.with_suffix("")))

    def _read(self, path: str) -> None:
        self._checkpoint.restore(path).assert_consumed()


def _clear(directory: Path) -> None:
    """Removes what a kill leaves, and a list that TensorFlow cannot read.

    Checkpoints are found by their files, so that the list is not missed.
    """
    for leftover in (*directory.glob("*_temp"), *directory.glob("*.tmp*")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    try:
        tf.train.get_checkpoint_state(str(directory))
    # Whatever the text parser says of a damaged file.
    except Exception:
        (directory / "checkpoint").unlink(missing_ok=True)


def _remove_old(directory: Path, step: int) -> None:
    """Removes what TensorFlow's list of checkpoints does not name any more.

    A kill between a checkpoint and the list, or a list that was lost, leaves
    such files, and so does a damaged checkpoint of a later step.
    """
    files = [(_PART.fullmatch(f.name), f) for f in directory.iterdir()]
    ours = [(int(part[1]), file) for part, file in files if part]
    whole = {n for n, file in ours if n <= step and file.suffix == ".index"}
    kept = sorted(whole)[-_KEPT:]
    for number, file in ours:
        if number not in kept:
            file.unlink(missing_ok=True)


def save_networks(model: AdversarialClassifier, directory: Path) -> None:
    """Writes `classifier.keras`, and `generator_<number>.keras` if any.

    The classifier is the average of its weights if there is one. Each file
    is replaced as a whole, the classifier last.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _, *generators = model.players()
    networks = [(each.name, each.network) for each in generators]
    for name, network in [*networks, ("classifier", model.trained)]:
        save_network(network, directory / f"{name}.keras")


def _step(path: str) -> int:
    return int(path.rpartition("-")[2])


def _values(variables: Iterable[keras.Variable]) -> list[tf.Variable]:
    return [variable.value for variable in variables]
