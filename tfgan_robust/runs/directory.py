"""The folder of a run: its files, its configuration, its lock."""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfgan_robust.errors import UsageError
from tfgan_robust.locking import alone_in
from tfgan_robust.runs.config import TrainConfig

LOCK = ".lock"
_KEPT = re.compile(r"best|last|epoch-[1-9][0-9]*")


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Where a run keeps its files.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """All settings, versions, the device and the data set."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """One row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def logs(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "logs"

    @property
    def checkpoints(self) -> Path:
        """Everything that a run needs to go on."""
        return self.path / "checkpoints"

    @property
    def alarms(self) -> Path:
        """What looked wrong while training."""
        return self.path / "alarms.json"

    @property
    def baseline(self) -> Path:
        """The run directory of the undefended twin, if one was trained."""
        return self.path / "baseline"

    def networks(self, which: str) -> Path:
        """The networks of the "best", the "last" or an "epoch-N"."""
        return self.path / which

    def classifier(self, which: str) -> Path:
        """The classifier among those networks, a `.keras` file."""
        return self.networks(which) / "classifier.keras"

    def kept(self) -> list[str]:
        """Which epochs' networks are there, as `networks` names them."""
        if not self.path.is_dir():
            return []
        found = [
            folder.name
            for folder in self.path.iterdir()
            if _KEPT.fullmatch(folder.name)
            and self.classifier(folder.name).is_file()
        ]
        return sorted(found, key=lambda name: (len(name), name))

    def trained_classifier(self, which: str) -> Path:
        """Returns `classifier`.

        Raises:
            UsageError: if it is not there, with those that are.
        """
        file = self.classifier(which)
        if file.is_file():
            return file
        raise UsageError(
            f"{self.path} has no {which} classifier yet; it has "
            f"{', '.join(self.kept()) or 'none'}. Let the training go on; "
            "epoch-N is kept where `keep_every` divides N."
        )


def check_checkpoint(name: str) -> None:
    """Refuses what names no networks of a run.

    Args:
        name: "best", "last" or "epoch-N".

    Raises:
        UsageError: for another name.
    """
    if not _KEPT.fullmatch(name):
        raise UsageError(
            "`checkpoint` is best, last, or epoch-N with the number of an "
            f"epoch. Received: checkpoint={name}."
        )


def default_run_directory(config: TrainConfig) -> Path:
    """Returns runs/<dataset>-<what>-<seed>, by the run's label."""
    # Not every system takes the colon of tfds:NAME in the name of a file.
    dataset = re.sub(r"[^\w.-]", "-", config.dataset)
    return Path("runs") / f"{dataset}-{config.run_label}-{config.seed}"


@contextmanager
def locked(run: RunDirectory) -> Iterator[None]:
    """Keeps other processes from training in the same folder.

    Raises:
        UsageError: if one does already.
    """
    try:
        run.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"Cannot make the run directory: {error.strerror}. "
            f"Received: run_dir={run.path}."
        ) from None
    with alone_in(
        run.path, LOCK, f"Another process is training in {run.path}."
    ):
        yield
