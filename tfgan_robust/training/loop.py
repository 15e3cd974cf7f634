"""The training loop: resumes exactly, stops cleanly, watches itself."""

import contextlib
import math
import time
from typing import Any

import tensorflow as tf

from tfgan_robust import files
from tfgan_robust.cli.signals import StopRequest
from tfgan_robust.data.batches import training_batches
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import (
    DivergenceError,
    TfganRobustError,
    UsageError,
)
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.reports.progress import say
from tfgan_robust.runs import directory
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training import alarms
from tfgan_robust.training.averaging import BATCHES
from tfgan_robust.training.build import build_model
from tfgan_robust.training.checkpoints import RunState, save_networks
from tfgan_robust.training.precision import Precision, choose
from tfgan_robust.training.records import MetricsFile
from tfgan_robust.training.reporting import Reporter, Silent
from tfgan_robust.training.team import Team
from tfgan_robust.training.tensorboard_files import VALIDATION
from tfgan_robust.training.validation import Validator

# Reading the running means waits for the device.
_LOG_EVERY = 20
_PIPELINE_BATCHES = 20
_SHOWN_IMAGES = 8


def batches_of(
    config: TrainConfig, training: Split, **more: Any
) -> tf.data.Dataset:
    """Yields the batches of a run without end.

    Args:
        config: The run's settings.
        training: The images.
        **more: See `training_batches`.
    """
    flip = config.horizontal_flip
    if flip is None:
        flip = DATASETS[config.dataset].mirrored
    return training_batches(
        training,
        batch_size=config.batch_size,
        seed=config.seed,
        horizontal_flip=flip,
        max_shift=config.max_shift,
        **more,
    )


class Trainer:
    """Trains one configuration in one run directory.

    Args:
        config: The run's settings.
        run: Its folder; if it holds the same run, training goes on there.
        strategy: From `devices.configure`.
        team: The workers that train together.
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
        team: Team,
        info: DatasetInfo,
        training: Split,
        validation: Split,
    ) -> None:
        # A run goes on as it began, on another machine too, and computes in
        # one precision on all of them.
        kept = directory.stored_precision(run.path) if team.leads else {}
        chosen = choose(kept.get("name", config.precision))
        if "reason" in kept:
            chosen = chosen._replace(reason=kept["reason"])
        self.precision = Precision(*team.from_chief(chosen))
        config = config.replace(precision=self.precision.name)
        self._config, self._run = config, run
        self._strategy, self._team = strategy, team
        self._training, self._class_names = training, info.class_names
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
                num_images=len(training.labels),
            )
        if team.leads:
            self._validator = Validator(
                self.model, config, training, validation
            )
        self._state = RunState(self.model, run.checkpoints)

    def train(self) -> int:
        """Trains to the last epoch or until a signal.

        Returns:
            0 when all epochs are done, 130 after Ctrl-C, 143 after SIGTERM.

        Raises:
            DivergenceError: if a loss is no finite number; the last
                checkpoint is from before.
            TfganRobustError: if the run was begun and no checkpoint of it is
                whole, or another worker is gone.
        """
        resumed = self._state.restore(self._team)
        if not resumed:
            self._refuse_to_start_over()
            self._state.progress = {
                "step": 0,
                "best_score": -1.0,
                "best_epoch": 0,
                "alarms": [],
            }
        if self._team.leads:
            epochs = self._step // self._steps_per_epoch
            self._metrics = MetricsFile(self._run.metrics, epochs)
            self._metrics.check(epochs, self._state.progress.get("metrics"))
        if self._step >= self._total_steps:
            return 0
        self._reporter: Silent = Silent()
        if self._team.leads:
            self._begin(resumed)
        with contextlib.closing(self._reporter), StopRequest() as stop:
            code = self._loop(stop)
        if code:
            say(
                f"stopped at step {self._step} of {self._total_steps}; the "
                "same command goes on from there"
            )
        return code

    @property
    def _step(self) -> int:
        return self._state.progress["step"]

    def _refuse_to_start_over(self) -> None:
        if self._team.leads and self._run.metrics.exists():
            raise TfganRobustError(
                f"{self._run.path} has the metrics of a run and no "
                "checkpoint that it could go on from. Restore "
                f"{self._run.checkpoints.name}/, or remove the folder to "
                "start over."
            )

    def _begin(self, resumed: bool) -> None:
        """Does what the chief does before the first step."""
        self._reporter = self._records = Reporter(
            self._config,
            self._run,
            self.model,
            self._metrics,
            self._class_names,
            total_steps=self._total_steps,
            step=self._step,
        )
        self._introduce(resumed)
        self._write_alarms()
        if not resumed:
            self._state.save(0)

    def _asked_to_stop(self, stop: StopRequest) -> int:
        """Returns the exit code of a signal to any worker, else 0.

        All workers learn of it between the same two steps.
        """
        return max(self._team.gather(stop.exit_code))

    def _loop(self, stop: StopRequest) -> int:
        train_step = self._compiled_step()
        batches = iter(self._distributed_batches())
        self._reporter.restart_clock(self._step)
        while self._step < self._total_steps and not self._asked_to_stop(stop):
            train_step(batches)
            step = self._state.progress["step"] = self._step + 1
            epoch_ends = step % self._steps_per_epoch == 0
            if step % _LOG_EVERY == 0 or epoch_ends:
                self._reporter.report_steps(step, self._figures())
            if epoch_ends:
                self._end_epoch(step // self._steps_per_epoch)
            if epoch_ends or step % self._config.checkpoint_every == 0:
                self._save()
        code = self._asked_to_stop(stop)
        if code:
            self._save()
        return code

    def _distributed_batches(self) -> Any:
        """Each worker's own part of each batch, a piece for each device."""
        replicas = self._strategy.num_replicas_in_sync

        def read(context: tf.distribute.InputContext) -> tf.data.Dataset:
            part = context.input_pipeline_id, context.num_input_pipelines
            own = self._batches(self._step, part)
            if replicas > part[1]:
                own = own.rebatch(self._config.batch_size // replicas)
            # Else workers would agree, in each step, that it has not ended.
            return own.apply(
                tf.data.experimental.assert_cardinality(
                    tf.data.INFINITE_CARDINALITY
                )
            )

        return self._strategy.distribute_datasets_from_function(read)

    def _batches(
        self, start_step: int, part: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        return batches_of(
            self._config,
            self._training,
            start_step=start_step,
            with_places=self.model.method.remembers,
            part=part,
        )

    def _compiled_step(self) -> Any:
        step = self.model.train_step
        if self._config.jit_compile == "true":
            step = tf.function(step, jit_compile=True, autograph=False)

        @tf.function(autograph=False)
        def train_step(batches: Any) -> None:
            self._strategy.run(step, args=(next(batches),))

        return train_step

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

    def _end_epoch(self, epoch: int) -> None:
        figures = self._figures()
        config = self._config
        keeps = config.keep_every > 0 and epoch % config.keep_every == 0
        measures = (
            keeps or epoch % config.eval_every == 0 or epoch == config.epochs
        )
        if measures and self.model.averaged is not None:
            batches = self._batches(self._step).take(BATCHES)
            self.model.recompute_statistics(batches)
        if self._team.leads:
            self._record(epoch, figures, measures=measures, keeps=keeps)
        for tracker in self.model.trackers.values():
            tracker.reset_state()
        self._reporter.restart_clock(self._step)

    def _record(
        self,
        epoch: int,
        figures: dict[str, float],
        *,
        measures: bool,
        keeps: bool,
    ) -> None:
        """Measures and writes what belongs to an epoch."""
        if measures:
            figures |= self._validate(epoch)
        if keeps:
            kept = self._run.networks(f"epoch-{epoch}")
            save_networks(self.model, kept)
        self._records.report_epoch(epoch, figures)
        if measures:
            self._raise_alarms()

    def _validate(self, epoch: int) -> dict[str, float]:
        measured = self._validator.measure()
        self._records.tensorboard.scalars(VALIDATION, measured, self._step)
        self._show_images()
        progress = self._state.progress
        score = measured[self.model.method.selects_by]
        if score > progress["best_score"]:
            progress["best_score"] = score
            progress["best_epoch"] = epoch
            save_networks(self.model, self._run.networks("best"))
        save_networks(self.model, self._run.networks("last"))
        return measured

    def _show_images(self) -> None:
        method = self.model.method
        images, labels = self._validator.sample(_SHOWN_IMAGES)
        perturbed = method.perturb(images, labels, tf.constant([0, 0]))
        answers = [tf.argmax(self.model(each), -1) for each in perturbed]
        self._records.tensorboard.images(
            images.numpy(),
            labels.numpy(),
            {
                name: (batch.numpy(), answer.numpy())
                for name, batch, answer in zip(
                    method.names, perturbed, answers, strict=True
                )
            },
            self._step,
        )

    def _raise_alarms(self) -> None:
        for alarm in alarms.raised(
            self._metrics.measured,
            self._validator.num_attacked,
            defended=bool(self.model.method.names),
        ):
            self._state.progress["alarms"].append(alarm)
            say(f"ALARM: {alarm['message']}")
        self._write_alarms()

    def _write_alarms(self) -> None:
        files.write_json(self._run.alarms, self._state.progress["alarms"])

    def _save(self) -> None:
        self._figures()  # Refuses to replace a good checkpoint by a bad one.
        self._state.collect()
        if self._team.leads:
            self._state.progress["metrics"] = self._metrics.digest
            self._state.save(self._step)

    def _introduce(self, resumed: bool) -> None:
        for player in self.model.players():
            say(f"{player.name}: {player.network.count_params():,} parameters")
        device = describe_devices(self._config.num_devices)
        if self._team.count > 1:
            device = f"{self._team.count} workers such as {device}"
        say(
            f"{len(self._training.labels):,} training images, "
            f"{self._steps_per_epoch} steps an epoch, "
            f"{device}, attacks compiled with "
            f"{'XLA' if self._validator.jit_compile else 'the plain graph'}"
        )
        say(f"precision {self.precision.name}: {self.precision.reason}")
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
        return images / (time.monotonic() - start)
