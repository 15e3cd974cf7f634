"""What is measured on held-out images while a run trains."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import judge
from tfgan_robust.attacks.compile import compile_attack, resolve_jit_compile
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.data.batches import evaluation_batches
from tfgan_robust.data.splits import Split
from tfgan_robust.networks.logits import LogitsFn, attacked_logits
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.training.generator_health import generator_health
from tfgan_robust.training.model import AdversarialClassifier

# PGD-10 picks the best checkpoint; its noise is the same each time, so that
# epochs compare.
PGD_STEPS = 10
_SEED = (0, 10)

Fooled = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Validator:
    """Measures a model on fixed images, compiled once for the whole run.

    Args:
        model: The model in training.
        config: The run's settings.
        training: The training images; the first `config.eval_images` are
            looked at without augmentation.
        validation: Held-out images: all for clean accuracy, the first
            `config.eval_images` under attack.
    """

    def __init__(
        self,
        model: AdversarialClassifier,
        config: TrainConfig,
        training: Split,
        validation: Split,
    ) -> None:
        self._eps, self._validation = config.eval_eps, validation
        self._attacked = _first(validation, config.eval_images)
        self._batch_size = min(
            config.batch_size, config.eval_images, len(training.labels)
        )
        # Whole batches: padding would distort the statistics of a batch.
        batches = min(config.eval_images, len(training.labels))
        batches //= self._batch_size
        self._seen = _first(training, batches * self._batch_size)
        modes = {
            mode: attacked_logits(model.trained, mode)
            for mode in ("inference", "training")
        }
        self._modes = {
            mode: _misclassified(logits_fn) for mode, logits_fn in modes.items()
        }
        self.jit_compile = resolve_jit_compile(
            config.jit_compile, deterministic=config.deterministic
        )
        self._attack = compile_attack(
            _fooled, modes["inference"], jit_compile=self.jit_compile
        )
        self._health: Callable[..., dict[str, tf.Tensor]] | None = None
        if model.generators:
            # Those whom the generators play against, of which the average
            # that is measured above is another.
            health = functools.partial(
                generator_health,
                model.method,
                attacked_logits(model.classifier, "inference"),
            )
            self._health = tf.function(health, autograph=False)

    @property
    def num_attacked(self) -> int:
        """How many images accuracies under attack are of."""
        return len(self._attacked.labels)

    def measure(self) -> dict[str, float]:
        """Returns accuracies as shares of 1, and the generators' health.

        `val_clean_accuracy`, `val_fgsm_accuracy` and `val_pgd_accuracy` are
        of validation images, `train_mode_accuracy` and
        `inference_mode_accuracy` of the same clean training images.
        """
        inference, training = self._modes["inference"], self._modes["training"]
        figures = {
            "val_clean_accuracy": self._accuracy(inference, self._validation),
            "val_fgsm_accuracy": self._accuracy(
                self._fgsm_fools, self._attacked
            ),
            "val_pgd_accuracy": self._accuracy(self._pgd_fools, self._attacked),
            "train_mode_accuracy": self._accuracy(training, self._seen),
            "inference_mode_accuracy": self._accuracy(inference, self._seen),
        }
        if self._health is not None:
            health = self._health(*self.sample(self._batch_size))
            figures |= {name: float(value) for name, value in health.items()}
        return figures

    def sample(self, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the first attacked images, float32 in [0, 1], and labels."""
        first = _first(self._attacked, count)
        images = tf.constant(first.images, tf.float32) / 255
        return images, tf.constant(first.labels)

    def _fgsm_fools(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        eps = self._eps
        return self._attack(images, labels, eps=eps, num_steps=1, step_size=eps)

    def _pgd_fools(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return self._attack(
            images, labels, eps=self._eps, num_steps=PGD_STEPS, seed=_SEED
        )

    def _accuracy(self, fooled: Fooled, split: Split) -> float:
        correct = 0.0
        for images, labels, mask in evaluation_batches(
            split, batch_size=self._batch_size
        ):
            kept = tf.logical_not(fooled(images, labels))
            correct += float(tf.reduce_sum(tf.cast(kept, tf.float32) * mask))
        return correct / len(split.labels)


def _first(split: Split, count: int) -> Split:
    return Split(*(np.asarray(part[:count]) for part in split))


def _fooled(
    logits_fn: LogitsFn, images: tf.Tensor, labels: tf.Tensor, **numbers: Any
) -> tf.Tensor:
    attacked = pgd(logits_fn, images, labels, **numbers)
    return judge(logits_fn(attacked), attacked, labels).fooled


def _misclassified(logits_fn: Callable[[tf.Tensor], tf.Tensor]) -> Fooled:
    @tf.function(autograph=False)
    def fooled(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return judge(logits_fn(images), images, labels).fooled

    return fooled
