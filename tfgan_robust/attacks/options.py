"""What attacks are told beside their names; needs no TensorFlow."""

import dataclasses
from collections.abc import Iterable

from tfgan_robust.errors import UsageError

PROTOCOLS = ("final", "worst")
NORMS = ("linf", "l2")
# Steps of this multiple of eps / num_steps reach any point of the ball from
# any other (arXiv:1706.06083).
STEP_RATIO = 2.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackOptions:
    """What attacks are given beside their names; each takes what it knows.

    Attributes:
        protocol: "final" or "worst"; only PGD and FGSM know "final".
        norm: "linf" or "l2".
        step_size: Of PGD, in the units of the ball; None for
            2.5 eps / num_steps.
        step_sizes: Of PGD: several, each of them tried, as multiples of eps.
            The weakest accuracy counts.
        random_start: Of PGD.
        num_restarts: Independent runs, for each target.
        momentum: Of PGD: share of the past gradients that stays.

    Raises:
        UsageError: for a bad or contradictory value.
    """

    protocol: str = "worst"
    norm: str = "linf"
    step_size: float | None = None
    step_sizes: tuple[float, ...] = ()
    random_start: bool = True
    num_restarts: int = 1
    momentum: float = 0.0

    def __post_init__(self) -> None:
        check_choice("protocol", self.protocol, PROTOCOLS)
        check_choice("norm", self.norm, NORMS)
        if self.num_restarts > 1 and not self.random_start:
            raise UsageError(
                "Restarts without a random start repeat the same attack. "
                f"Received: {self.num_restarts} restarts."
            )
        for name in ("step_size", "step_sizes"):
            value = getattr(self, name)
            values = [value] if isinstance(value, float | int) else value or ()
            if not all(each > 0 for each in values):
                raise UsageError(
                    f"`{name}` must be positive. Received: {list(values)}."
                )
        if self.step_size is not None and self.step_sizes:
            raise UsageError("Give either `step_size` or `step_sizes`.")


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raises UsageError for an argument that is none of the known values."""
    if value not in known:
        raise UsageError(
            f"`{name}` must be one of {', '.join(known)}. Received: {value}."
        )
