"""What a run says while it trains: terminal, TensorBoard, metrics.csv."""

import time
from collections.abc import Mapping, Sequence

import keras

from tfgan_robust.reports.progress import progress_bar, say
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training.model import AdversarialClassifier
from tfgan_robust.training.records import MetricsFile
from tfgan_robust.training.tensorboard_files import (
    TRAINING,
    TensorBoardWriter,
)

# Keeps rates finite where a clock is coarse.
_SHORTEST = 1e-9


class Silent:
    """Reports nothing, as workers other than the chief do."""

    def close(self) -> None:
        """See `Reporter`."""

    def restart_clock(self, step: int) -> None:
        """See `Reporter`."""

    def report_steps(self, step: int, figures: Mapping[str, float]) -> None:
        """See `Reporter`."""


class Reporter(Silent):
    """Reports a run's figures, and times its steps.

    Args:
        config: The run's settings.
        run: Its folder.
        model: The model in training.
        metrics: Its file of epochs.
        class_names: In the order of labels.
        total_steps: Steps of the whole run.
        step: The step at which training begins.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunDirectory,
        model: AdversarialClassifier,
        metrics: MetricsFile,
        class_names: Sequence[str],
        *,
        total_steps: int,
        step: int,
    ) -> None:
        self._config, self._model, self._metrics = config, model, metrics
        self.tensorboard = TensorBoardWriter(run.logs, config, class_names)
        self._bar = progress_bar(run.path.name, "step", total_steps, step)
        self.restart_clock(step)

    def close(self) -> None:
        """Puts everything on disk, and leaves the bar as it stands."""
        self.tensorboard.flush()
        self._bar.close()

    def restart_clock(self, step: int) -> None:
        """Begins to time an epoch, or what is left of it."""
        self._time, self._step = time.monotonic(), step
        self._epoch_seconds, self._epoch_steps = 0.0, 0

    def report_steps(self, step: int, figures: Mapping[str, float]) -> None:
        """Reports the running means of an epoch.

        Args:
            step: Steps of the run so far.
            figures: The means by name.
        """
        now = time.monotonic()
        seconds, steps = now - self._time, step - self._step
        self._epoch_seconds += seconds
        self._epoch_steps += steps
        self._time, self._step = now, step
        speed = {
            "images_per_second": self._rate(steps, seconds),
            **self._learning_rates(),
        }
        self.tensorboard.scalars(TRAINING, {**figures, **speed}, step)
        main = {
            name.replace("_accuracy", ""): f"{value:.3f}"
            for name, value in figures.items()
            if name == "loss" or name.endswith("_accuracy")
        }
        self._bar.set_postfix(main, refresh=False)
        self._bar.update(steps)

    def report_epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Adds an epoch to `metrics.csv`, and prints its line.

        Args:
            epoch: Which, from 1.
            figures: Means and measurements by name.
        """
        row = {"epoch": float(epoch), "step": float(self._step), **figures}
        # Timings last: all columns before them repeat bit for bit.
        row |= self._learning_rates()
        row["images_per_second"] = self._rate(
            self._epoch_steps, self._epoch_seconds
        )
        self._metrics.append(row)
        say(_epoch_line(row, self._config.epochs))

    def _rate(self, steps: int, seconds: float) -> float:
        return steps * self._config.batch_size / max(seconds, _SHORTEST)

    def _learning_rates(self) -> dict[str, float]:
        return {
            f"{player.name}_learning_rate": float(
                keras.ops.convert_to_numpy(player.optimizer.learning_rate)
            )
            for player in self._model.players()
        }


def _epoch_line(row: Mapping[str, float], epochs: int) -> str:
    parts = [f"epoch {row['epoch']:.0f}/{epochs}", f"loss {row['loss']:.4f}"]
    for name in row:
        if name.endswith("_accuracy"):
            shown = name.removesuffix("_accuracy").replace("_", " ")
            parts.append(f"{shown} {row[name]:.1%}")
    parts.append(f"{row['images_per_second']:,.0f} images/s")
    return ", ".join(parts)
