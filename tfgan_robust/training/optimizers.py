"""Optimizers and learning rates, as a configuration describes them."""

from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.training.weights import is_kernel

_PACKAGE = "tfgan_robust"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class LinearSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Rises from zero in a straight line, then stays or falls to zero.

    A fall as straight makes it one cycle (arXiv:1708.07120).

    Args:
        peak: The largest learning rate.
        warmup_steps: Steps of the rise.
        decay_steps: Steps of the fall; 0 to stay.
    """

    def __init__(
        self, peak: float, warmup_steps: int, decay_steps: int = 0
    ) -> None:
        super().__init__()
        self.peak = peak
        self.warmup_steps, self.decay_steps = warmup_steps, decay_steps

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the learning rate of a step, float32."""
        step = tf.cast(step, tf.float32)
        rate = tf.minimum(1.0, step / max(1, self.warmup_steps))
        if self.warmup_steps == 0:
            rate = tf.ones_like(rate)
        if self.decay_steps > 0:
            end = self.warmup_steps + self.decay_steps
            left = (end - step) / self.decay_steps
            rate = tf.minimum(rate, tf.maximum(0.0, left))
        return self.peak * rate

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
        }


def of_classifier(
    config: TrainConfig, total_steps: int | None
) -> keras.Optimizer:
    """Builds the classifier's optimizer.

    Args:
        config: The run's settings.
        total_steps: Steps of the whole run; None for a constant rate.
    """
    decoupled = config.weight_decay_kind == "decoupled"
    decay = config.weight_decay if decoupled else None
    rate = _schedule(config, config.learning_rate, total_steps)
    if config.optimizer == "adam":
        return _scaled(config, _adam(config, rate, decay))
    sgd = keras.optimizers.SGD(
        rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=decay or None,
    )
    return _scaled(config, sgd)


def of_generator(config: Any, total_steps: int | None) -> keras.Optimizer:
    """Builds the optimizer of a generator.

    Args:
        config: The settings of a run with generators.
        total_steps: Its updates in the whole run; None for a constant rate.
    """
    rate = _schedule(config, config.generator_learning_rate, total_steps)
    return _scaled(config, _adam(config, rate))


def spare_vectors(optimizer: keras.Optimizer, network: keras.Model) -> None:
    """Keeps decoupled weight decay away from all weights but kernels.

    Args:
        optimizer: Of the network, not built yet.
        network: Whose weights it moves.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.weight_decay and not inner.built:
        inner.exclude_from_weight_decay(
            [v for v in network.trainable_variables if not is_kernel(v)]
        )


def _adam(
    config: TrainConfig, rate: Any, decay: float | None = None
) -> keras.Optimizer:
    return keras.optimizers.Adam(
        rate,
        beta_1=config.beta_1,
        beta_2=config.beta_2,
        weight_decay=decay or None,
    )


def _scaled(config: TrainConfig, optimizer: keras.Optimizer) -> keras.Optimizer:
    if config.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _schedule(config: TrainConfig, peak: float, total_steps: int | None) -> Any:
    if total_steps is None:
        return peak
    warmup = round(config.warmup * total_steps)
    left = max(1, total_steps - warmup)
    if config.learning_rate_schedule == "onecycle":
        return LinearSchedule(peak, warmup, left)
    if config.learning_rate_schedule == "constant":
        return LinearSchedule(peak, warmup) if warmup else peak
    if warmup == 0:
        return keras.optimizers.schedules.CosineDecay(peak, left)
    return keras.optimizers.schedules.CosineDecay(
        0.0, left, warmup_target=peak, warmup_steps=warmup
    )
