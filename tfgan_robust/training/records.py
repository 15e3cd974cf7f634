"""The files of a run's figures: metrics.csv, and TensorBoard's."""

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from tfgan_robust.errors import TfganRobustError
from tfgan_robust.files import write_text
from tfgan_robust.runs.config import TrainConfig


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
        return [row for row in self.rows if "val_pgd_accuracy" in row]


def _read_rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        try:
            rows = [
                {k: float(v) for k, v in row.items() if v != ""}
                for row in csv.DictReader(file)
            ]
            epochs = [row["epoch"] for row in rows]
            # The first is another where the file was once removed.
            if any(b - a != 1 for a, b in itertools.pairwise(epochs)) or any(
                not epoch.is_integer() for epoch in epochs
            ):
                raise ValueError("no epochs")
            return rows
        except (csv.Error, KeyError, TypeError, ValueError):
            raise TfganRobustError(
                f"{path} is damaged; restore it, or remove it to go on "
                "without the rows of the epochs so far."
            ) from None


class TensorBoardWriter:
    """Scalars, image grids and the configuration for TensorBoard.

    Args:
        directory: Where event files go.
        config: The run's settings.
    """

    def __init__(self, directory: Path, config: TrainConfig) -> None:
        begun = any(directory.glob("events.out.tfevents.*"))
        self._writer = tf.summary.create_file_writer(str(directory))
        self._eps = config.eps
        if begun:
            return
        settings = json.dumps(dataclasses.asdict(config), indent=2)
        with self._writer.as_default():
            tf.summary.text("configuration", f"```\n{settings}\n```", step=0)

    def scalars(
        self, group: str, figures: Mapping[str, float], step: int
    ) -> None:
        """Writes figures under `group/` at a training step."""
        with self._writer.as_default():
            for name, value in figures.items():
                tf.summary.scalar(f"{group}/{name}", value, step)

    def images(
        self, images: tf.Tensor, perturbed: Sequence[tf.Tensor], step: int
    ) -> None:
        """Writes grids of clean images, perturbations and perturbed images.

        Args:
            images: float32 [batch, height, width, channels] in [0, 1].
            perturbed: Batches, shaped alike, each for a grid of its own.
            step: The training step.
        """
        with self._writer.as_default():
            for index, batch in enumerate(perturbed):
                grid = _grid(images, batch, self._eps)
                tf.summary.image(f"perturbed/{index}", grid, step)

    def flush(self) -> None:
        """Puts everything on disk."""
        self._writer.flush()


def _grid(images: tf.Tensor, perturbed: tf.Tensor, eps: float) -> tf.Tensor:
    """Rows: clean, perturbation (grey is none), perturbed."""
    rows = [images, 0.5 + (perturbed - images) / (2 * eps), perturbed]
    lines = [tf.concat(tf.unstack(row), axis=1) for row in rows]
    return tf.concat(lines, axis=0)[tf.newaxis]
