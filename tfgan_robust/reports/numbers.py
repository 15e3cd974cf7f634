"""Radii as people write them, and confidence intervals of accuracies."""

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


def format_eps(eps: float) -> str:
    """Returns a radius as people write it: "8/255", or "0.1"."""
    hundredths, levels = eps * 100, eps * 255
    if abs(hundredths - round(hundredths)) < 1e-6:
        return f"{eps:g}"
    if abs(levels - round(levels)) < 1e-6:
        return f"{round(levels)}/255"
    return f"{eps:.4g}"


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
