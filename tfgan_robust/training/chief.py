"""What one worker does for all: it measures, keeps networks, says what is."""

from collections.abc import Sequence

import tensorflow as tf

from tfgan_robust import files
from tfgan_robust.data.splits import Split
from tfgan_robust.reports.progress import say
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training import alarms
from tfgan_robust.training.checkpoints import RunState, save_networks
from tfgan_robust.training.model import AdversarialClassifier
from tfgan_robust.training.records import MetricsFile
from tfgan_robust.training.reporting import Reporter
from tfgan_robust.training.tensorboard_files import VALIDATION
from tfgan_robust.training.validation import Validator

_SHOWN_IMAGES = 8


class Chief:
    """The worker that writes a run's folder; alone, there is no other.

    Args:
        model: The model in training.
        config: The run's settings.
        run: Its folder.
        state: Of the run; best epoch and alarms are kept in its progress.
        class_names: In the order of labels.
        training: Images to train on.
        validation: Images that pick the best networks.

    Attributes:
        jit_compile: Whether XLA compiles the attacks that it measures with.
    """

    def __init__(
        self,
        model: AdversarialClassifier,
        config: TrainConfig,
        run: RunDirectory,
        state: RunState,
        class_names: Sequence[str],
        training: Split,
        validation: Split,
    ) -> None:
        self._model, self._config, self._run = model, config, run
        self._state, self._class_names = state, class_names
        self._validator = Validator(model, config, training, validation)
        self.jit_compile = self._validator.jit_compile

    def read_metrics(self, epochs: int) -> None:
        """Reads the rows of epochs that had ended.

        Args:
            epochs: How many.

        Raises:
            TfganRobustError: if they are not those of the checkpoint.
        """
        self._metrics = MetricsFile(self._run.metrics, epochs)
        self._metrics.check(epochs, self._state.progress.get("metrics"))

    def begin(self, step: int, total_steps: int) -> Reporter:
        """Returns what reports the run, after `read_metrics`.

        Args:
            step: At which training begins.
            total_steps: Of the whole run.
        """
        self._write_alarms()
        self._reporter = Reporter(
            self._config,
            self._run,
            self._model,
            self._metrics,
            self._class_names,
            total_steps=total_steps,
            step=step,
        )
        return self._reporter

    def end_epoch(
        self,
        epoch: int,
        figures: dict[str, float],
        *,
        measures: bool,
        keeps: bool,
    ) -> None:
        """Measures and writes what belongs to an epoch, after `begin`.

        Args:
            epoch: Which, from 1.
            figures: Means of its steps by name.
            measures: Whether it measures on validation images.
            keeps: Whether it keeps the networks of this very epoch.
        """
        if measures:
            figures |= self._validate(epoch)
        if keeps:
            save_networks(self._model, self._run.networks(f"epoch-{epoch}"))
        self._reporter.report_epoch(epoch, figures)
        if measures:
            self._raise_alarms()

    def save(self, step: int) -> None:
        """Writes a checkpoint of what `RunState.collect` took.

        Args:
            step: Steps of the run so far.

        Raises:
            TfganRobustError: if the disk refuses it.
        """
        self._state.progress["metrics"] = self._metrics.digest
        self._state.save(step)

    def _validate(self, epoch: int) -> dict[str, float]:
        measured = self._validator.measure()
        progress = self._state.progress
        step = progress["step"]
        self._reporter.tensorboard.scalars(VALIDATION, measured, step)
        self._show_images(step)
        score = measured[self._model.method.selects_by]
        if score > progress["best_score"]:
            progress["best_score"] = score
            progress["best_epoch"] = epoch
            save_networks(self._model, self._run.networks("best"))
        save_networks(self._model, self._run.networks("last"))
        return measured

    def _show_images(self, step: int) -> None:
        method = self._model.method
        images, labels = self._validator.sample(_SHOWN_IMAGES)
        perturbed = method.perturb(images, labels, tf.constant([0, 0]))
        answers = [tf.argmax(self._model(each), -1) for each in perturbed]
        self._reporter.tensorboard.images(
            images.numpy(),
            labels.numpy(),
            {
                name: (batch.numpy(), answer.numpy())
                for name, batch, answer in zip(
                    method.names, perturbed, answers, strict=True
                )
            },
            step,
        )

    def _raise_alarms(self) -> None:
        for alarm in alarms.raised(
            self._metrics.measured,
            self._validator.num_attacked,
            defended=bool(self._model.method.names),
        ):
            self._state.progress["alarms"].append(alarm)
            say(f"ALARM: {alarm['message']}")
        self._write_alarms()

    def _write_alarms(self) -> None:
        files.write_json(self._run.alarms, self._state.progress["alarms"])
