"""Tells apart what a check found and what chance explains."""

import numpy as np

from tfgan_robust.reports.verdicts import FAIL, PASS, WARN

# An audit makes about a dozen comparisons: at these levels chance alone gives
# a sound network a WARN in one audit of eight at most, a FAIL in one of eighty.
WARN_LEVEL, FAIL_LEVEL = 0.01, 0.001
# Attacks of equal strength differ by less, however many images tell so.
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


def judge_rival(rival: np.ndarray, attack: np.ndarray) -> str:
    """Judges whether an attack is beaten by one that must not be stronger.

    The sign test on the images that only one of them fools (McNemar), since
    both see the same images; what is below `SLACK` passes.

    Args:
        rival: bool [N], right under the attack that must not be stronger.
        attack: bool [N], right under the other.

    Returns:
        "PASS", "WARN" or "FAIL".
    """
    by_rival = int(np.count_nonzero(attack & ~rival))
    by_attack = int(np.count_nonzero(rival & ~attack))
    if by_rival - by_attack <= SLACK * len(attack):
        return PASS
    return judge(tail(by_rival, by_rival + by_attack, 0.5))
