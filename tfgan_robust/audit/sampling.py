"""Whether chance explains what a check found."""

import numpy as np
from scipy.stats import binom

from tfgan_robust.reports.verdicts import FAIL, PASS, WARN

# An audit makes about a dozen comparisons: at these levels chance alone gives
# a sound network a WARN in one audit of eight at most, a FAIL in one of eighty.
WARN_LEVEL, FAIL_LEVEL = 0.01, 0.001
# Attacks of equal strength differ by less, on any number of images.
SLACK = 0.01


def first(mask: np.ndarray, count: int) -> np.ndarray:
    """Returns a mask of the first images, at most `count`, that one names.

    Args:
        mask: bool [N].
        count: How many are enough.
    """
    return mask & (np.cumsum(mask) <= count)


def tail(count: int, trials: int, share: float) -> float:
    """Returns the probability of at least `count` successes.

    Args:
        count: Successes, at least 0.
        trials: Independent trials, at least 0.
        share: Probability of a success, in (0, 1].

    Returns:
        Probability under the binomial distribution, in [0, 1].
    """
    return float(binom.sf(count - 1, trials, share))


def judge(count: int, trials: int, share: float) -> str:
    """Judges a count by its `tail`: "PASS", "WARN" or "FAIL"."""
    p_value = tail(count, trials, share)
    if p_value < FAIL_LEVEL:
        return FAIL
    return WARN if p_value < WARN_LEVEL else PASS


def judge_share(rare: np.ndarray, *, warn: float, fail: float = 1.0) -> str:
    """Judges a share that must be small.

    Args:
        rare: bool [N], images of a kind that should be rare.
        warn: "WARN" if their share is above, beyond sampling error.
        fail: "FAIL" if it is above this.

    Returns:
        "PASS", "WARN" or "FAIL".
    """
    count, trials = rare.sum(), len(rare)
    if tail(count, trials, fail) < FAIL_LEVEL:
        return FAIL
    return WARN if tail(count, trials, warn) < WARN_LEVEL else PASS


def judge_weaker(weaker: np.ndarray, stronger: np.ndarray) -> str:
    """Judges whether an attack that must not be the stronger one is.

    The sign test on the images that only one of them fools (McNemar), since
    both see the same images; what is below `SLACK` passes.

    Args:
        weaker: bool [N], correct under the attack that must not be stronger.
        stronger: bool [N], correct under the other.

    Returns:
        "PASS", "WARN" or "FAIL".
    """
    by_weaker = (stronger & ~weaker).sum()
    by_stronger = (weaker & ~stronger).sum()
    if by_weaker - by_stronger <= SLACK * len(stronger):
        return PASS
    return judge(by_weaker, by_weaker + by_stronger, 0.5)
