"""Radii as people write them, and confidence intervals of accuracies."""

import math
from collections.abc import Sequence

from tfgan_robust.cli.fields import format_length
from tfgan_robust.errors import UsageError


def check_eps(eps: float, norm: str = "linf") -> None:
    """Refuses a radius that no ball of images has.

    Args:
        eps: The radius: in (0, 1] on the [0, 1] pixel scale, or Euclidean.
        norm: "linf" or "l2".

    Raises:
        UsageError: for anything else, NaN included.
    """
    if norm == "linf" and not 0 < eps <= 1:
        raise UsageError(
            "`eps` must be in (0, 1], on the [0, 1] pixel scale. "
            f"Received: eps={eps:g}."
        )
    if not 0 < eps < float("inf"):
        raise UsageError(
            f"`eps` must be positive and finite. Received: eps={eps:g}."
        )


def check_radii(radii: Sequence[float], norm: str = "linf") -> None:
    """Refuses radii that no ball has, and one that is given twice.

    Args:
        radii: See `check_eps`.
        norm: "linf" or "l2".

    Raises:
        UsageError: see above.
    """
    for number, eps in enumerate(radii):
        check_eps(eps, norm)
        if any(same_eps(eps, other) for other in radii[:number]):
            raise UsageError(
                "`eps` must hold each radius once. Received twice: "
                f"{format_eps(eps)}."
            )


def same_eps(one: float, other: float) -> bool:
    """Tells whether two radii are the same up to the rounding of float32."""
    return math.isclose(one, other, rel_tol=1e-6)


def format_eps(eps: float) -> str:
    """Returns a radius as people write it: "8/255", or "0.1"."""
    return format_length(eps)


def wilson(num_correct: int, num_images: int) -> tuple[float, float]:
    """Returns the Wilson score interval of a share, at 95 %.

    Args:
        num_correct: Successes, from 0 to `num_images`.
        num_images: Trials, at least 1.

    Returns:
        Its lower and its upper end, within [0, 1].
    """
    # Takes a second to load.
    from scipy.stats import binomtest

    ends = binomtest(num_correct, num_images).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


def mcnemar(only_first: int, only_second: int) -> float:
    """Returns the exact two-sided p-value of McNemar's test.

    Args:
        only_first: Images that only the first classifier gets correct.
        only_second: Images that only the second one gets correct.
    """
    # Takes a second to load.
    from scipy.stats import binomtest

    count = only_first + only_second
    return float(binomtest(only_first, count).pvalue) if count else 1.0
