"""How weights learn, whatever the method: optimizer, schedule, averaging."""

import dataclasses
from collections.abc import Iterator

from tfgan_robust.cli.fields import setting

_OPTIMIZERS = "Optimizers"
_OBJECTIVE = "Objective and updates"
_ADVERSARY = "Adversary"

# The classifier's optimizers, with the learning rate that each has unless
# told.
LEARNING_RATES = {"sgd": 0.1, "adam": 1e-3}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """Optimizers and what goes with them; `config.TrainConfig` inherits them.

    Shares are of the steps of the whole run.
    """

    optimizer: str = setting(
        "sgd",
        "The classifier's: sgd, with Nesterov's momentum, or adam. Generators "
        "have Adam.",
        group=_OPTIMIZERS,
        choices=tuple(LEARNING_RATES),
    )
    classifier_learning_rate: float | None = setting(
        None,
        "The classifier's largest learning rate. Without it "
        + ", ".join(f"{r:g} for {n}" for n, r in LEARNING_RATES.items())
        + ".",
        group=_OPTIMIZERS,
        above=0,
    )
    momentum: float = setting(
        0.9,
        "Nesterov's momentum of sgd.",
        group=_OPTIMIZERS,
        minimum=0,
        maximum=0.9999,
    )
    beta_1: float = setting(
        0.5,
        "Adam's first beta.",
        group=_OPTIMIZERS,
        minimum=0,
        maximum=0.9999,
    )
    beta_2: float = setting(
        0.9,
        "Adam's second beta.",
        group=_OPTIMIZERS,
        minimum=0,
        maximum=0.99999,
    )
    weight_decay: float = setting(
        5e-4,
        "Weight decay of the classifier's kernels, not of biases or "
        "normalisation.",
        group=_OPTIMIZERS,
        minimum=0,
        maximum=1,
    )
    weight_decay_kind: str = setting(
        "l2",
        "l2 adds half of weight_decay times the squared kernels to the loss; "
        "decoupled shrinks them by weight_decay times the learning rate "
        "(arXiv:1711.05101).",
        group=_OPTIMIZERS,
        choices=("l2", "decoupled"),
    )
    learning_rate_schedule: str = setting(
        "cosine",
        "After the warm-up: constant learning rates, a cosine decay to zero, "
        "or onecycle, a linear one (arXiv:1708.07120).",
        group=_OPTIMIZERS,
        choices=("constant", "cosine", "onecycle"),
    )
    warmup: float = setting(
        0.2,
        "Share over which learning rates rise from zero, linearly.",
        group=_OPTIMIZERS,
        minimum=0,
        maximum=0.9,
        unit="share of the run",
    )
    averaging: float = setting(
        0.998,
        "Momentum of a moving average of the classifier's weights, smaller in "
        "the first steps; the average is what is validated, saved and "
        "measured, with statistics of batch normalisation of its own; 0 for "
        "none.",
        group=_OPTIMIZERS,
        minimum=0,
        maximum=0.99999,
    )
    label_smoothing: float = setting(
        0.0,
        "Share of each label that is spread over all classes "
        "(arXiv:1512.00567) in the loss that the classifier descends.",
        group=_OBJECTIVE,
        minimum=0,
        maximum=0.9,
    )
    eps_warmup: float = setting(
        0.0,
        "Share over which the radius of training perturbations rises from "
        "zero to eps, linearly.",
        group=_ADVERSARY,
        minimum=0,
        maximum=1,
        unit="share of the run",
    )
    weight_perturbation: float = setting(
        0.0,
        "Adversarial weight perturbation (arXiv:2004.05884): kernels are "
        "moved up the loss by this share of their norm before the classifier "
        "descends; the paper's is 0.01, or 0.005 with TRADES; 0 for none.",
        group=_OBJECTIVE,
        minimum=0,
        maximum=1,
    )
    weight_perturbation_start: float = setting(
        0.05,
        "Share of the run without weight perturbation.",
        group=_OBJECTIVE,
        minimum=0,
        maximum=1,
        unit="share of the run",
    )

    @property
    def learning_rate(self) -> float:
        """The classifier's largest learning rate."""
        given = self.classifier_learning_rate
        return LEARNING_RATES[self.optimizer] if given is None else given

    def problems(self) -> Iterator[tuple[bool, str]]:
        """Yields what must not hold, and what to say if it does."""
        decoupled = self.weight_decay_kind == "decoupled"
        yield (
            decoupled and self.weight_decay * self.learning_rate >= 1,
            "Decoupled weight decay of learning_rate * weight_decay >= 1 "
            "erases kernels. Received: "
            f"weight_decay={self.weight_decay:g} with learning rate "
            f"{self.learning_rate:g}.",
        )

    def idle(self) -> Iterator[tuple[bool, str, str]]:
        """Yields whether a setting has no effect, which, and why."""
        adam = self.optimizer == "adam"
        yield adam, "momentum", "with optimizer=adam, which has its betas"
        yield (
            self.weight_decay == 0,
            "weight_decay_kind",
            "with weight_decay=0",
        )
        yield (
            self.weight_perturbation == 0,
            "weight_perturbation_start",
            "with weight_perturbation=0",
        )
