"""Verdicts of an audit go beyond what chance explains."""

import math

import numpy as np
import pytest

from tfgan_robust.audit.sampling import judge_share, judge_weaker, tail


@pytest.mark.parametrize("share", [0.002, 0.1, 0.5])
@pytest.mark.parametrize("count", [0, 1, 7, 20])
def test_tails_are_those_of_the_binomial(count, share):
    exact = sum(
        math.comb(20, k) * share**k * (1 - share) ** (20 - k)
        for k in range(count, 21)
    )
    assert tail(count, 20, share) == pytest.approx(exact, rel=1e-9)


def test_tails_of_many_images_stay_finite():
    assert tail(5000, 10_000, 0.5) == pytest.approx(0.504, abs=1e-3)
    assert 0 < tail(40, 10_000, 0.002) < 1e-4


@pytest.mark.parametrize(
    ("by_weaker", "by_stronger", "verdict"),
    [(6, 0, "PASS"), (7, 0, "WARN"), (10, 0, "FAIL"), (10, 10, "PASS"),
     (0, 30, "PASS"), (30, 20, "PASS"), (40, 10, "FAIL")],
)  # fmt: skip
def test_attacks_are_judged_by_the_images_that_only_one_fools(
    by_weaker, by_stronger, verdict
):
    weaker, stronger = np.ones(128, bool), np.ones(128, bool)
    weaker[:by_weaker] = False
    stronger[by_weaker : by_weaker + by_stronger] = False
    assert judge_weaker(weaker, stronger) == verdict


def test_differences_too_small_to_matter_pass():
    weaker, stronger = np.ones(10_000, bool), np.ones(10_000, bool)
    weaker[:100] = False
    assert judge_weaker(weaker, stronger) == "PASS"
    weaker[:120] = False
    assert judge_weaker(weaker, stronger) == "FAIL"


def test_shares_are_judged_beyond_sampling_error():
    def verdict(count, trials, **fail):
        return judge_share(np.arange(trials) < count, warn=0.05, **fail)

    for count, expected in ((8, "PASS"), (20, "WARN"), (60, "FAIL")):
        assert verdict(count, 128, fail=0.2) == expected
    assert [verdict(n, 4, fail=0.2) for n in (1, 2)] == ["PASS", "PASS"]
    # Nothing is too much for a share that has no upper limit.
    assert [verdict(n, 128) for n in (0, 8, 128)] == ["PASS", "PASS", "WARN"]
