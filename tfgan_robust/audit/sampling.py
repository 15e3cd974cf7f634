"""Whether chance explains what a check found."""

import numpy as np

from tfgan_robust.reports.verdicts import FAIL, PASS, WARN

# An audit makes about a dozen comparisons: at these levels chance alone gives
# a sound network a WARN in one audit of eight at most, a FAIL in one of eighty.
WARN_LEVEL, FAIL_LEVEL = 0.01, 0.001
# Attacks of equal strength differ by less, on any number of images.
SLACK = 0.01


def judge(p_value: float) -> str:
    """Turns the probability of a finding by chance into a verdict."""
    if p_value < FAIL_LEVEL:
        return FAIL
    return WARN if p_value < WARN_LEVEL else PASS


def tail(count: int, trials: int, share: float) -> float:
    """Returns the probability of at least `count` successes.

    Args:
        count: Successes, at least 0.
        trials: Independent trials, at least 0.
        share: Probability of a success, in (0, 1).

    Returns:
        Probability under the binomial distribution, in [0, 1].
    """
    # Takes a second to load.
    from scipy.stats import binom

    return float(binom.sf(count - 1, trials, share))


def judge_share(count: int, trials: int, *, warn: float, fail: float) -> str:
    """Judges a share that must be small.

    Args:
        count: Images of a kind that should be rare.
        trials: Images looked at.
        warn: "WARN" if their share is above, beyond sampling error.
        fail: "FAIL" if it is above this.

    Returns:
        "PASS", "WARN" or "FAIL".
    """
    if tail(count, trials, fail) < FAIL_LEVEL:
        return FAIL
    return WARN if above(count, trials, warn) else PASS


def above(count: int, trials: int, share: float) -> bool:
    """Tells whether a count is above a share, beyond sampling error."""
    return tail(count, trials, share) < WARN_LEVEL


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
    by_weaker = int(np.count_nonzero(stronger & ~weaker))
    by_stronger = int(np.count_nonzero(weaker & ~stronger))
    if by_weaker - by_stronger <= SLACK * len(stronger):
        return PASS
    return judge(tail(by_weaker, by_weaker + by_stronger, 0.5))
