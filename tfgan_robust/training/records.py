"""The file of a run's figures: metrics.csv."""

import csv
import io
import itertools
from collections.abc import Mapping
from pathlib import Path

from tfgan_robust.errors import TfganRobustError
from tfgan_robust.files import write_text
from tfgan_robust.training import alarms

# Measured together or not at all.
_COMPARED = frozenset(alarms.COMPARED)


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
            rows = _read_rows(path)
            self.rows = [row for row in rows if row["epoch"] <= epochs]

    def append(self, row: Mapping[str, float]) -> None:
        """Adds one epoch and writes the whole file anew.

        Epochs without a measurement on validation images have fewer columns,
        so the header is known only from all rows.
        """
        self.rows.append(dict(row))
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


def _read_rows(path: Path) -> list[dict[str, float]]:
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
            return rows
        except (csv.Error, KeyError, TypeError, ValueError):
            raise TfganRobustError(
                f"{path} is damaged; restore it, or remove it to go on "
                "without the rows of the epochs so far."
            ) from None
