"""The training loop: resumes exactly, stops cleanly, watches itself."""

import contextlib
import math
from typing import Any

import tensorflow as tf

from tfgan_robust.cli.signals import StopRequest
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import (
    DivergenceError,
    TfganRobustError,
    UsageError,
)
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.reports.progress import say
from tfgan_robust.runs import stored
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training.averaging import BATCHES
from tfgan_robust.training.build import build_model
from tfgan_robust.training.checkpoints import RunState
from tfgan_robust.training.chief import Chief
from tfgan_robust.training.feeding import (
    batches_of,
    distributed_batches,
    images_per_second,
)
from tfgan_robust.training.precision import Precision
from tfgan_robust.training.reporting import Silent
from tfgan_robust.training.team import Team

# Reading the running means waits for the device.
_LOG_EVERY = 20


class Trainer:
    """Trains one configuration in one run directory.

    Args:
        config: The run's settings.
        precision: What it computes in, whatever these say.
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
        precision: Precision,
        run: RunDirectory,
        strategy: tf.distribute.Strategy,
        team: Team,
        info: DatasetInfo,
        training: Split,
        validation: Split,
    ) -> None:
        self.precision = precision
        config = config.replace(precision=precision.name)
        self._config, self._run = config, run
        self._strategy, self._team = strategy, team
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
                num_images=len(training.labels),
            )
        self._state = RunState(self.model, run.checkpoints)
        self._chief: Chief | None = None
        if team.leads:
            self._chief = Chief(
                self.model,
                config,
                run,
                self._state,
                info.class_names,
                training,
                validation,
            )

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
        if self._chief:
            self._chief.read_metrics(self._step // self._steps_per_epoch)
        if self._step >= self._total_steps:
            return 0
        self._reporter = Silent()
        if self._chief:
            self._reporter = self._chief.begin(self._step, self._total_steps)
            self._introduce(self._chief, resumed)
            if not resumed:
                self._state.save(0)
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

    def _asked_to_stop(self, stop: StopRequest) -> int:
        """Returns the exit code of a signal to any worker, else 0.

        All workers learn of it between the same two steps.
        """
        return max(self._team.gather(stop.exit_code))

    def _loop(self, stop: StopRequest) -> int:
        train_step = self._compiled_step()
        config, training = self._config, self._training
        batches = iter(
            distributed_batches(
                self._strategy, config, training, **self._going_on()
            )
        )
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

    def _going_on(self) -> dict[str, Any]:
        """Which batches come next; see `training_batches`."""
        remembers = self.model.method.remembers
        return {"start_step": self._step, "with_places": remembers}

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
            batches = batches_of(
                config, self._training, **self._going_on()
            ).take(BATCHES)
            self.model.recompute_statistics(batches)
        if self._chief:
            self._chief.end_epoch(
                epoch, figures, measures=measures, keeps=keeps
            )
        for tracker in self.model.trackers.values():
            tracker.reset_state()
        self._reporter.restart_clock(self._step)

    def _save(self) -> None:
        self._figures()  # Refuses to replace a good checkpoint by a bad one.
        self._state.collect()
        if self._chief:
            self._chief.save(self._step)

    def _introduce(self, chief: Chief, resumed: bool) -> None:
        for player in self.model.players():
            say(f"{player.name}: {player.network.count_params():,} parameters")
        device = describe_devices(self._config.num_devices)
        if self._team.count > 1:
            device = f"{self._team.count} workers such as {device}"
        say(
            f"{len(self._training.labels):,} training images, "
            f"{self._steps_per_epoch} steps an epoch, "
            f"{device}, attacks compiled with "
            f"{'XLA' if chief.jit_compile else 'the plain graph'}"
        )
        since = "as the run began, since " if resumed else ""
        name, reason = self.precision
        say(f"precision {name}: {since}{reason}")
        rate = images_per_second(
            self._config,
            self._training,
            with_places=self.model.method.remembers,
        )
        say(f"input pipeline alone: {rate:,.0f} images/s")
        if resumed:
            stored.note_machine(
                self._run, describe_devices(self._config.num_devices)
            )
            say(f"resuming at step {self._step} of {self._total_steps}")
