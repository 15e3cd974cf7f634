"""Attacks by name, with their parameters; needs no TensorFlow."""

import dataclasses

from tfgan_robust.errors import UsageError

CLEAN = "clean"
PROTOCOLS = ("final", "worst")
# Steps of this multiple of eps / num_steps reach any point of the ball from
# any other (arXiv:1706.06083).
STEP_RATIO = 2.5


@dataclasses.dataclass(frozen=True)
class AttackPlan:
    """An attack and its parameters; only `fgsm` and `pgd` exist.

    Attributes:
        name: "fgsm" or "pgd-<steps>".
        num_steps: Gradient steps.
        step_size: On the [0, 1] pixel scale; None for eps in FGSM, for
            2.5 eps / num_steps in PGD.
        random_start: Whether PGD begins at a random point of the ball.
        num_restarts: Independent runs of PGD.
        protocol: "final" or "worst"; see `attacks.pgd`.
    """

    name: str
    num_steps: int
    step_size: float | None = None
    random_start: bool = False
    num_restarts: int = 1
    protocol: str = "final"

    def resolved_step_size(self, eps: float) -> float:
        """Returns the step size at a radius."""
        if self.name == "fgsm":
            return eps
        return self.step_size or STEP_RATIO * eps / self.num_steps


def parse_attack(
    name: str,
    *,
    step_size: float | None = None,
    random_start: bool = True,
    num_restarts: int = 1,
    protocol: str = "final",
) -> AttackPlan:
    """Turns "fgsm" or "pgd-100" into a plan.

    Args:
        name: As on the command line.
        step_size: For PGD; see `AttackPlan`.
        random_start: For PGD.
        num_restarts: For PGD.
        protocol: "final" or "worst".

    Returns:
        The plan.

    Raises:
        UsageError: for an unknown name or bad parameters.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(
            f"`protocol` must be one of {', '.join(PROTOCOLS)}. "
            f"Received: {protocol}."
        )
    if num_restarts > 1 and not random_start:
        raise UsageError(
            "Restarts without a random start repeat the same attack. "
            f"Received: {num_restarts} restarts."
        )
    if name == "fgsm":
        return AttackPlan("fgsm", num_steps=1, protocol=protocol)
    kind, _, steps = name.partition("-")
    if kind != "pgd" or not steps.isdecimal() or int(steps) < 1:
        raise UsageError(
            "An attack is fgsm or pgd-<steps>, such as pgd-100. "
            f"Received: {name}."
        )
    return AttackPlan(
        name, int(steps), step_size, random_start, num_restarts, protocol
    )
