"""What may be added to any method of training."""

import dataclasses
from typing import Any

import tensorflow as tf

# At first a moving average is over about a quarter of the steps so far.
_EARLY = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refinements:
    """Numbers of what is added to a method; the defaults add nothing.

    Attributes:
        l2: Weight decay of the classifier's kernels, as a term of the loss.
        label_smoothing: Share of a label that is spread over all classes.
        eps_warmup: Steps over which the radius rises from zero.
        averaging: Momentum of the moving average of the classifier's weights.
        weight_perturbation: How far kernels are moved up the loss, as a share
            of their norm (arXiv:2004.05884).
        weight_perturbation_start: Steps before that begins.
    """

    l2: float = 0.0
    label_smoothing: float = 0.0
    eps_warmup: int = 0
    averaging: float = 0.0
    weight_perturbation: float = 0.0
    weight_perturbation_start: int = 0

    @classmethod
    def of(cls, config: Any, total_steps: int | None) -> "Refinements":
        """Takes them from the settings of a run.

        Args:
            config: A `TrainConfig`.
            total_steps: Steps of the whole run; None if shares of it are 0.
        """
        steps = total_steps or 0
        in_loss = config.weight_decay_kind == "l2"
        start = config.weight_perturbation_start
        return cls(
            l2=config.weight_decay if in_loss else 0.0,
            label_smoothing=config.label_smoothing,
            eps_warmup=round(config.eps_warmup * steps),
            averaging=config.averaging,
            weight_perturbation=config.weight_perturbation,
            weight_perturbation_start=round(start * steps),
        )

    def radius_at(self, iterations: Any) -> tf.Tensor:
        """Returns the share of the radius in a step, where it is warmed up.

        Args:
            iterations: The classifier's steps before it.
        """
        step = tf.cast(iterations, tf.float32) + 1
        return tf.minimum(1.0, step / self.eps_warmup)

    def momentum_at(self, iterations: Any) -> tf.Tensor:
        """Returns the momentum of the average, which forgets the start.

        Args:
            iterations: The classifier's steps so far.
        """
        step = tf.cast(iterations, tf.float32)
        return tf.minimum(self.averaging, step / (step + _EARLY))

    def perturbation_at(self, iterations: Any) -> tf.Tensor:
        """Returns how far kernels are moved in a step, 0 before that begins.

        Args:
            iterations: The classifier's steps before it.
        """
        begun = iterations >= self.weight_perturbation_start
        return self.weight_perturbation * tf.cast(begun, tf.float32)


NONE = Refinements()
