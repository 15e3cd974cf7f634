"""What TensorBoard shows of a run.

Training, validation and test are three runs to TensorBoard, with equal names
for equal things, so that they share charts. The folder above them holds the
settings, for its HParams.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.results import Evaluation
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.training.captions import Row, draw

TRAINING, VALIDATION, TEST = "train", "validation", "test"
_VALIDATED = "val_"
# Figures of one kind stand together.
_KINDS = ("accuracy", "loss", "gradient_norm", "learning_rate", "success")
_EVENTS = "events.out.tfevents.*"


def tag(name: str) -> str:
    """Returns what a figure of metrics.csv is called in TensorBoard.

    Args:
        name: "val_clean_accuracy" and "clean_accuracy" are "accuracy/clean".
    """
    plain = name.removeprefix(_VALIDATED)
    for kind in _KINDS:
        if plain == kind:
            return f"{kind}/total"
        if plain.endswith(f"_{kind}"):
            return f"{kind}/{plain.removesuffix(f'_{kind}')}"
    network, middle, norm = plain.partition("_perturbation_")
    return f"perturbation/{network}_{norm}" if middle else plain


class TensorBoardWriter:
    """Scalars, captioned images and the settings for TensorBoard.

    Args:
        directory: Where event files go.
        config: The run's settings.
        class_names: In the order of labels.
    """

    def __init__(
        self, directory: Path, config: TrainConfig, class_names: Sequence[str]
    ) -> None:
        self._eps, self._class_names = config.eps, class_names
        self._writers = {
            group: tf.summary.create_file_writer(str(directory / group))
            for group in (TRAINING, VALIDATION)
        }
        if any(directory.glob(_EVENTS)):
            return
        settings = dataclasses.asdict(config)
        with _written_once(directory, 0):
            shown = json.dumps(settings, indent=2)
            tf.summary.text("configuration", f"```\n{shown}\n```")
            known = {n: v for n, v in settings.items() if v is not None}
            # A run is one trial, whatever the others are.
            hparams.hparams(known, trial_id=str(directory.absolute()))

    def scalars(
        self, group: str, figures: Mapping[str, float], step: int
    ) -> None:
        """Writes figures at a training step.

        Args:
            group: `TRAINING` or `VALIDATION`.
            figures: By their names in metrics.csv.
            step: The training step.
        """
        with self._writers[group].as_default(step=step):
            for name, value in figures.items():
                tf.summary.scalar(tag(name), value)

    def images(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        perturbed: Mapping[str, tuple[np.ndarray, np.ndarray]],
        step: int,
    ) -> None:
        """Writes sheets of clean images, perturbations and perturbed images.

        Args:
            images: float32 [batch, height, width, 3] in [0, 1].
            labels: Integer [batch].
            perturbed: By what perturbed them, images shaped alike, and what
                the classifier says of them, integer [batch].
            step: The training step.
        """
        with self._writers[VALIDATION].as_default(step=step):
            for name, (batch, answers) in perturbed.items():
                rows = [
                    Row("clean: label", images, self._names(labels)),
                    Row(
                        "perturbation", 0.5 + (batch - images) / (2 * self._eps)
                    ),
                    Row(
                        "both: answer",
                        batch,
                        self._names(answers),
                        list(answers != labels),
                    ),
                ]
                tf.summary.image(
                    f"perturbed/{name}",
                    draw(rows)[np.newaxis],
                    description=self._caption(name),
                )

    def flush(self) -> None:
        """Puts everything on disk."""
        for writer in self._writers.values():
            writer.flush()

    def _names(self, labels: np.ndarray) -> list[str]:
        return [self._class_names[label] for label in labels]

    def _caption(self, name: str) -> str:
        eps = format_eps(self._eps)
        return (
            "Validation images with their labels; what the training's "
            f"adversary `{name}` adds, from -{eps} (black) by 0 (grey) to "
            f"{eps} (white); both together with what the classifier answers, "
            "red where it is wrong."
        )


@contextlib.contextmanager
def _written_once(folder: Path, step: int) -> Iterator[None]:
    """Takes summaries to a file that is closed afterwards."""
    writer = tf.summary.create_file_writer(str(folder))
    try:
        with writer.as_default(step=step):
            yield
    finally:
        writer.close()


def write_results(directory: Path, evaluation: Evaluation, step: int) -> None:
    """Writes the accuracies on test images, in place of earlier ones.

    Args:
        directory: Where event files go.
        evaluation: Of the run's classifier.
        step: The training step whose networks were measured.
    """
    folder = directory / TEST
    for old in folder.glob(_EVENTS):
        # Another process may do the same just now.
        old.unlink(missing_ok=True)
    with _written_once(folder, step):
        for result in evaluation.results:
            place = _place(result.eps, evaluation.norm) if result.eps else ""
            tf.summary.scalar(
                f"accuracy/{result.attack}{place}", result.accuracy
            )
        for worst in evaluation.pointwise:
            place = _place(worst.eps, evaluation.norm)
            tf.summary.scalar(f"accuracy/worst case{place}", worst.accuracy)


def _place(eps: float, norm: str) -> str:
    return f" at {format_eps(eps)}" if norm == "linf" else f" at {norm} {eps:g}"
