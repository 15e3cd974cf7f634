"""The training loop: resumes exactly, stops cleanly, watches itself."""

import math
import time
from typing import Any

import keras
import tensorflow as tf

from tfgan_robust import files
from tfgan_robust.cli.signals import StopRequest
from tfgan_robust.data.batches import training_batches
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import DivergenceError, UsageError
from tfgan_robust.reports.progress import ProgressReporter
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training import alarms, devices
from tfgan_robust.training.build import build_model
from tfgan_robust.training.checkpoints import RunState, save_networks
from tfgan_robust.training.records import MetricsFile, TensorBoardWriter
from tfgan_robust.training.validation import Validator

# Steps between looks at the running means, each of which waits for the
# device.
_LOG_EVERY = 20
_PIPELINE_BATCHES = 20


class Trainer:
    """Trains one configuration in one run directory.

    Args:
        config: The run's settings.
        run: Its folder; if it holds the same run, training goes on there.
        strategy: From `devices.configure`.
        info: The data set.
        training: Images to train on.
        validation: Images that pick the best checkpoint.

    Raises:
        UsageError: if there are fewer training images than a batch holds.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunDirectory,
        strategy: tf.distribute.Strategy,
        info: DatasetInfo,
        training: Split,
        validation: Split,
    ) -> None:
        self._config, self._run, self._strategy = config, run, strategy
        self._training = training
        self._steps_per_epoch = len(training.labels) // config.batch_size
        if self._steps_per_epoch == 0:
            raise UsageError(
                f"`batch_size` exceeds the {len(training.labels)} training "
                f"images. Received: batch_size={config.batch_size}."
            )
        self._total_steps = self._steps_per_epoch * config.epochs
        with strategy.scope():
            self.model = build_model(
                config,
                info.image_shape,
                info.num_classes,
                total_steps=self._total_steps,
            )
        self._validator = Validator(self.model, training, validation)
        self._state = RunState(self.model, run.checkpoints)

    def train(self) -> int:
        """Trains to the last epoch or until a signal.

        Returns:
            0 when all epochs are done, 130 after Ctrl-C, 143 after SIGTERM.

        Raises:
            DivergenceError: if a loss is no finite number; the last
                checkpoint is from before.
        """
        resumed = self._state.restore()
        if not resumed:
            self._state.progress = {
                "step": 0,
                "best_score": -1.0,
                "best_epoch": 0,
                "alarms": [],
            }
        step = self._step
        self._metrics = MetricsFile(
            self._run.metrics, step // self._steps_per_epoch
        )
        if step >= self._total_steps:
            return 0
        self._tensorboard = TensorBoardWriter(self._run.logs, self.model)
        self._progress = ProgressReporter(
            self._run.path.name, self._total_steps, step
        )
        self._introduce(resumed)
        self._write_alarms()
        if not resumed:
            self._state.save(0)
        try:
            with StopRequest() as stop:
                self._loop(stop)
        finally:
            self._tensorboard.flush()
            self._progress.close()
        if stop:
            self._progress.say(
                f"stopped at step {self._step} of {self._total_steps}; the "
                "same command goes on from there"
            )
        return stop.exit_code

    @property
    def _step(self) -> int:
        return self._state.progress["step"]

    def _loop(self, stop: StopRequest) -> None:
        train_step = self._compiled_step()
        batches = iter(
            self._strategy.experimental_distribute_dataset(
                self._batches(self._step)
            )
        )
        self._restart_clock()
        while self._step < self._total_steps and not stop:
            train_step(batches)
            step = self._state.progress["step"] = self._step + 1
            epoch_ends = step % self._steps_per_epoch == 0
            if step % _LOG_EVERY == 0 or epoch_ends:
                self._log()
            if epoch_ends:
                self._end_epoch(step // self._steps_per_epoch)
            if epoch_ends or step % self._config.checkpoint_every == 0:
                self._save()
        if stop:
            self._save()

    def _batches(self, start_step: int) -> tf.data.Dataset:
        flip = self._config.horizontal_flip
        return training_batches(
            self._training,
            batch_size=self._config.batch_size,
            seed=self._config.seed,
            start_step=start_step,
            horizontal_flip=(
                DATASETS[self._config.dataset].mirrored
                if flip is None
                else flip
            ),
            max_shift=self._config.max_shift,
        )

    def _compiled_step(self) -> Any:
        step = self.model.train_step
        if self._config.jit_compile == "true":
            step = tf.function(step, jit_compile=True, autograph=False)

        @tf.function(autograph=False)
        def train_step(batches: Any) -> None:
            self._strategy.run(step, args=(next(batches),))

        return train_step

    def _restart_clock(self) -> None:
        """Begins to measure an epoch, or what is left of it."""
        self._mark = (time.monotonic(), self._step)
        self._epoch_seconds, self._epoch_steps = 0.0, 0

    def _figures(self) -> dict[str, float]:
        """The epoch's running means.

        Raises:
            DivergenceError: if a loss or a gradient is no finite number.
        """
        trackers = self.model.trackers
        figures = {name: float(t.result()) for name, t in trackers.items()}
        # With loss scaling an infinite gradient is a step that was skipped.
        watched: tuple[str, ...] = ("loss", "gradient_norm")
        if self._config.precision == "mixed_float16":
            watched = ("loss",)
        for name, value in figures.items():
            if name.endswith(watched) and not math.isfinite(value):
                raise DivergenceError(
                    f"{name} became {value} by step {self._step}. The last "
                    f"good checkpoint in {self._run.checkpoints} is kept; "
                    "try a lower learning rate, or precision=float32."
                )
        return figures

    def _log(self) -> None:
        figures = self._figures()
        (then, step_then), now = self._mark, time.monotonic()
        steps = self._step - step_then
        self._epoch_seconds += now - then
        self._epoch_steps += steps
        self._mark = (now, self._step)
        rate = steps * self._config.batch_size / max(now - then, 1e-9)
        speed = {"images_per_second": rate, **self._learning_rates()}
        self._tensorboard.scalars("train", figures | speed, self._step)
        main = {
            name.replace("_accuracy", ""): value
            for name, value in figures.items()
            if name == "loss" or name.endswith("_accuracy")
        }
        self._progress.advance(steps, main)

    def _learning_rates(self) -> dict[str, float]:
        optimizers = [self.model.optimizer, *self.model.generator_optimizers]
        names = ["classifier", *(g.name for g in self.model.generators)]
        return {
            f"{name}_learning_rate": float(
                keras.ops.convert_to_numpy(optimizer.learning_rate)
            )
            for name, optimizer in zip(names, optimizers, strict=True)
        }

    def _end_epoch(self, epoch: int) -> None:
        figures = self._figures()
        row = {"epoch": float(epoch), "step": float(self._step), **figures}
        if epoch % self._config.eval_every == 0 or epoch == self._config.epochs:
            row |= self._validate(epoch)
        # Timings last: all columns before them repeat bit for bit.
        row |= self._learning_rates()
        row["images_per_second"] = (
            self._epoch_steps
            * self._config.batch_size
            / max(self._epoch_seconds, 1e-9)
        )
        self._metrics.append(row)
        self._progress.say(_epoch_line(row, self._config.epochs))
        if "val_pgd_accuracy" in row:
            self._raise_alarms()
        for tracker in self.model.trackers.values():
            tracker.reset_state()
        self._restart_clock()

    def _validate(self, epoch: int) -> dict[str, float]:
        measured = self._validator.measure()
        self._tensorboard.scalars("validation", measured, self._step)
        self._tensorboard.images(*self._validator.sample(8), self._step)
        progress = self._state.progress
        # Undefended training has no robustness to speak of: its best epoch
        # by that measure would be a random one.
        natural = self._config.method == "natural"
        score = measured[f"val_{'clean' if natural else 'pgd'}_accuracy"]
        if score > progress["best_score"]:
            progress["best_score"] = score
            progress["best_epoch"] = epoch
            save_networks(self.model, self._run.networks("best"))
        save_networks(self.model, self._run.networks("last"))
        return measured

    def _raise_alarms(self) -> None:
        for alarm in alarms.raised(self._metrics.measured):
            self._state.progress["alarms"].append(alarm)
            self._progress.say(f"ALARM: {alarm['message']}")
        self._write_alarms()

    def _write_alarms(self) -> None:
        files.write_json(self._run.alarms, self._state.progress["alarms"])

    def _save(self) -> None:
        self._figures()  # never over a good checkpoint with a bad one
        self._state.save(self._step)

    def _introduce(self, resumed: bool) -> None:
        say = self._progress.say
        for network in [self.model.classifier, *self.model.generators]:
            say(f"{network.name}: {network.count_params():,} parameters")
        device = devices.describe(self._config.num_devices)
        say(
            f"{len(self._training.labels):,} training images, "
            f"{self._steps_per_epoch} steps an epoch, "
            f"{device}, attacks compiled with "
            f"{'XLA' if self._validator.jit_compile else 'the plain graph'}"
        )
        say(f"input pipeline alone: {self._pipeline_rate():,.0f} images/s")
        if resumed:
            say(f"resuming at step {self._step} of {self._total_steps}")

    def _pipeline_rate(self) -> float:
        batches = iter(self._batches(0))
        next(batches)
        start = time.monotonic()
        for _ in range(_PIPELINE_BATCHES):
            next(batches)
        images = _PIPELINE_BATCHES * self._config.batch_size
        return images / max(time.monotonic() - start, 1e-9)


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    parts = [f"epoch {row['epoch']:.0f}/{epochs}", f"loss {row['loss']:.4f}"]
    for name in row:
        if name.endswith("_accuracy"):
            shown = name.removesuffix("_accuracy").replace("_", " ")
            parts.append(f"{shown} {row[name]:.1%}")
    parts.append(f"{row['images_per_second']:,.0f} images/s")
    return ", ".join(parts)
