"""What may be added to any method of training."""

import dataclasses
from typing import Any


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


NONE = Refinements()
