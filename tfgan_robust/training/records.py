"""The file of a run's figures: metrics.csv."""

import csv
import io
import itertools
from collections.abc import Mapping
from pathlib import Path

from tfgan_robust.errors import TfganRobustError, shown
from tfgan_robust.files import write_text
from tfgan_robust.identity import of_settings
from tfgan_robust.training import alarms

# Measured together or not at all.
_COMPARED = frozenset(alarms.COMPARED)
# How far a mean of float32 may lie beyond the largest share.
_ROUNDING = 1e-5


class MetricsFile:
    """`metrics.csv`: one row for each epoch.

    Args:
        path: The file; rows already there are kept.
        epochs: How many epochs' rows are valid. Later ones come from a run
            that was killed after its last checkpoint, and are dropped.
    """

    def __init__(self, path: Path, epochs: int) -> None:
        self._path = path
        self.rows: list[dict[str, float]] = []
        if path.exists():
            rows = read_metrics(path)
            self.rows = [row for row in rows if row["epoch"] <= epochs]

    def append(self, row: Mapping[str, float]) -> None:
        """Adds one epoch and writes the whole file anew.

        Epochs without a measurement on validation images have fewer columns,
        so the header is known only from all rows.
        """
        self.rows.append({name: float(value) for name, value in row.items()})
        columns = list(dict.fromkeys(k for r in self.rows for k in r))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self._path, text.getvalue())

    @property
    def measured(self) -> list[dict[str, float]]:
        """The rows of epochs with a measurement on validation images."""
        return [row for row in self.rows if row.keys() >= _COMPARED]

    @property
    def digest(self) -> str:
        """A digest of the rows but their timing: equal runs have equal ones."""
        repeated = [
            {k: v for k, v in row.items() if k != "images_per_second"}
            for row in self.rows
        ]
        return of_settings(repeated)

    def check(self, epochs: int, digest: str | None) -> None:
        """Refuses rows that are not those with which a checkpoint was saved.

        Args:
            epochs: Those that had ended.
            digest: Of their rows; None in checkpoints of earlier versions.

        Raises:
            TfganRobustError: naming the file.
        """
        # None if the file was removed, to go on without them.
        if not self.rows:
            return
        last = self.rows[-1]["epoch"]
        if last < epochs:
            raise _damaged(
                self._path, f"it ends with epoch {last:g} of {epochs}"
            )
        if digest is not None and digest != self.digest:
            raise _damaged(
                self._path, "the checkpoint was saved with other figures"
            )


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Reads the epochs of a run, without what was not measured.

    Args:
        path: Of `metrics.csv`.

    Raises:
        TfganRobustError: for what no training wrote.
    """
    with path.open(newline="", encoding="utf-8") as file:
        try:
            rows = [
                {k: float(v) for k, v in row.items() if v != ""}
                for row in csv.DictReader(file)
            ]
            epochs = [row["epoch"] for row in rows]
            # The first is another where the file was once removed.
            if (
                not epochs
                or any(b - a != 1 for a, b in itertools.pairwise(epochs))
                or any(not epoch.is_integer() for epoch in epochs)
            ):
                raise ValueError("no epochs")
            measured = [row.keys() & _COMPARED for row in rows]
            if any(names and names != _COMPARED for names in measured):
                raise ValueError("half a measurement")
            for row in rows:
                _check_shares(row)
            return rows
        except (csv.Error, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, shown(error)) from None


def _check_shares(row: Mapping[str, float]) -> None:
    for name, value in row.items():
        # Not a number either.
        if name.endswith("_accuracy") and not 0 <= value <= 1 + _ROUNDING:
            raise ValueError(
                f"{name} is {value:g} in epoch {row['epoch']:g}, and no share"
            )


def _damaged(path: Path, reason: str) -> TfganRobustError:
    return TfganRobustError(
        f"{path} is damaged: {reason}. Restore it, or remove it to go on "
        "without the rows of the epochs so far."
    )
