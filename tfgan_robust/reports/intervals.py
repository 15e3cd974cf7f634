"""Confidence intervals of accuracies."""

import math

_Z = 1.959963984540054


def wilson(num_correct: int, num_images: int) -> tuple[float, float]:
    """Returns the Wilson score interval of a share, at 95 %.

    Args:
        num_correct: Successes, from 0 to `num_images`.
        num_images: Trials, at least 1.

    Returns:
        Its lower and its upper end, within [0, 1].
    """
    share = num_correct / num_images
    shrink = 1 + _Z**2 / num_images
    centre = (share + _Z**2 / (2 * num_images)) / shrink
    spread = share * (1 - share) / num_images + (_Z / (2 * num_images)) ** 2
    half = _Z * math.sqrt(spread) / shrink
    return max(0.0, centre - half), min(1.0, centre + half)
