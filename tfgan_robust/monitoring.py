"""Where a run's figures go: metrics.csv, TensorBoard, the terminal."""

import contextlib
import csv
import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

from tfgan_robust.adversaries import GeneratorAdversary
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.model import AdversarialClassifier
from tfgan_robust.radii import format_eps
from tfgan_robust.run_directory import write_text

_GRID_IMAGES = 8


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
            return [
                {k: float(v) for k, v in row.items() if v != ""}
                for row in csv.DictReader(file)
            ]
        except (KeyError, TypeError, ValueError):
            raise TfganRobustError(
                f"{path} is damaged; restore it, or remove it to go on "
                "without the rows of the epochs so far."
            ) from None


class TensorBoardWriter:
    """Scalars, image grids and the configuration for TensorBoard.

    Args:
        directory: Where event files go.
        model: The model in training.
    """

    def __init__(self, directory: Path, model: AdversarialClassifier) -> None:
        self._writer = tf.summary.create_file_writer(str(directory))
        self._model = model
        settings = json.dumps(dataclasses.asdict(model.config), indent=2)
        with self._writer.as_default():
            tf.summary.text("configuration", f"```\n{settings}\n```", step=0)

    def scalars(
        self, group: str, figures: Mapping[str, float], step: int
    ) -> None:
        """Writes figures under `group/` at a training step."""
        with self._writer.as_default():
            for name, value in figures.items():
                tf.summary.scalar(f"{group}/{name}", value, step)

    def images(self, images: tf.Tensor, labels: tf.Tensor, step: int) -> None:
        """Writes grids of clean images, perturbations and perturbed images.

        Args:
            images: float32 [batch, height, width, channels] in [0, 1].
            labels: Integer [batch].
            step: The training step.
        """
        adversary = self._model.adversary
        images, labels = images[:_GRID_IMAGES], labels[:_GRID_IMAGES]
        point = adversary.prepare(images, labels, tf.constant([0, 0]))
        if isinstance(adversary, GeneratorAdversary):
            # On the averages: a few images make a poor batch.
            batches = [
                adversary.apply(
                    point, adversary.directions(point, index, training=False)
                )
                for index in range(len(adversary.generators))
            ]
        else:
            batches = adversary.perturb(point)
        with self._writer.as_default():
            for index, perturbed in enumerate(batches):
                grid = _grid(images, perturbed, self._model.config.eps)
                tf.summary.image(f"perturbed/{index}", grid, step)

    def flush(self) -> None:
        """Puts everything on disk."""
        self._writer.flush()


class ProgressReporter:
    """A bar with ETA on a terminal, plain lines otherwise.

    Args:
        title: What is running.
        total: Number of steps of the whole run.
        done: Steps that an earlier process did.
    """

    def __init__(self, title: str, total: int, done: int) -> None:
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                desc=title,
                total=total,
                initial=done,
                unit="step",
                dynamic_ncols=True,
                file=sys.stderr,
            )

    def advance(self, steps: int, figures: Mapping[str, float]) -> None:
        """Moves the bar and shows the main figures beside it."""
        if self._bar is not None:
            self._bar.set_postfix(
                {k: f"{v:.3f}" for k, v in figures.items()}, refresh=False
            )
            self._bar.update(steps)

    def say(self, line: str) -> None:
        """Prints a line without breaking the bar."""
        if self._bar is not None:
            self._bar.write(line)
        else:
            print(line, flush=True)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


class EvaluationProgress:
    """A bar with ETA on a terminal, a line for each attack otherwise.

    Args:
        title: What is measured.
        total: Images times stages of attacks, over all measurements.
    """

    def __init__(self, title: str, total: int) -> None:
        self._bar = tqdm(
            desc=title,
            total=total,
            unit="image",
            dynamic_ncols=True,
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
        )
        self._done = 0

    def __enter__(self) -> "EvaluationProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(
        self, attack: str, eps: float, done: int, total: int, accuracy: float
    ) -> None:
        """Told of each image that is settled.

        Args:
            attack: What runs.
            eps: At which radius; 0 for clean images.
            done: Images times stages that are settled.
            total: Of so many.
            accuracy: So far, as a share of 1; it can only fall.
        """
        self._bar.update(done - self._done)
        self._done = done % total
        label = f"{attack} eps {format_eps(eps)}" if eps else attack
        if not self._bar.disable:
            self._bar.set_postfix_str(
                f"{label}: {accuracy:.1%} right", refresh=False
            )
        elif done == total:
            print(f"{label}: {accuracy:.1%} right", flush=True)


@contextlib.contextmanager
def audit_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar over the checks of an audit, on a terminal."""
    with tqdm(
        desc="audit",
        unit="check",
        dynamic_ncols=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    ) as bar:

        def told(check: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(check, refresh=False)
            bar.update(done - bar.n)

        yield told


def _grid(images: tf.Tensor, perturbed: tf.Tensor, eps: float) -> tf.Tensor:
    """Rows: clean, perturbation (grey is none), perturbed."""
    rows = [images, 0.5 + (perturbed - images) / (2 * eps), perturbed]
    lines = [tf.concat(tf.unstack(row), axis=1) for row in rows]
    return tf.concat(lines, axis=0)[tf.newaxis]
