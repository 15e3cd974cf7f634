"""Random noise: what an attack must beat to be one."""

import dataclasses

from tfgan_robust.attacks.base import NORMS, Attack, Problem, State, judge
from tfgan_robust.attacks.options import check_choice
from tfgan_robust.networks.logits import LogitsFn


@dataclasses.dataclass(frozen=True)
class Noise(Attack):
    """One point of the ball, drawn uniformly.

    Attributes:
        norm: One of `base.NORMS`.

    Raises:
        UsageError: for another norm.
    """

    norm: str = "linf"
    passes = 1, 0

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, NORMS)

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: State
    ) -> State:
        """Judges the noisy image."""
        noisy = state.images
        here = judge(logits_fn(noisy), noisy, problem.labels)
        return State(state.step + 1, here, noisy)
