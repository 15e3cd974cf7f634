"""What is said of accuracies is no surer than their images and seeds allow."""

import math

import numpy as np
import pytest

from experiments.findings import comparisons, intervals
from tfgan_robust.reports.numbers import mcnemar, wilson

AGREES, DISAGREES = intervals.AGREES, intervals.DISAGREES
UNCLEAR = intervals.UNCLEAR


def unpaired(*values, images=1000, **more):
    return intervals.Measured("it", values, images, **more)


def paired(*masks, network="", **more):
    """Of masks of the same images, one for each seed."""
    return intervals.Measured(
        "it",
        tuple(100 * mask.mean() for mask in masks),
        len(masks[0]),
        masks=masks,
        image_set="test",
        networks=tuple(f"{network}{n}" for n in range(len(masks))),
        **more,
    )


def two_masks(only_first, only_second, images=1000):
    """Both right on half of the images, and each on some of its own."""
    first = np.zeros(images, bool)
    first[: images // 2] = True
    second = first.copy()
    first[images // 2 :][:only_first] = True
    second[images // 2 + only_first :][:only_second] = True
    return first, second


@pytest.mark.parametrize(
    "only", [(0, 5), (0, 6), (6, 0), (1, 7), (1, 8), (12, 25), (12, 30)]
)
def test_one_seed_on_the_same_images_is_mcnemars_test(only):
    one, other = (paired(m, network=n) for m, n in zip(
        two_masks(*only), "ab", strict=True
    ))  # fmt: skip
    found = intervals.difference(one, other)
    told = found.low > 0 or found.high < 0
    assert told == (mcnemar(*only) < 0.05)
    assert found.middle == pytest.approx((only[0] - only[1]) / 10)


def test_pairing_tells_what_independent_shares_do_not():
    first, second = two_masks(30, 5)
    assert comparisons.compare(paired(first, network="a"), paired(second)) == 1
    values = (100 * mask.mean() for mask in (first, second))
    one, other = (unpaired(value) for value in values)
    assert comparisons.compare(one, other) == 0


def test_no_difference_on_some_images_is_not_certainty():
    (mask, _) = two_masks(0, 0)
    found = intervals.difference(paired(mask, network="a"), paired(mask))
    assert found.high == -found.low == pytest.approx(100 * wilson(0, 1000)[1])
    # Neither is 0 of 1,000 images, whose binomial variance is 0.
    nothing = intervals.interval(unpaired(0.0))
    assert (nothing.low, nothing.high > 0.3) == (0.0, True)


def test_seeds_on_the_same_images_are_not_more_images():
    first, second = two_masks(30, 5)
    once = intervals.difference(paired(first, network="a"), paired(second))
    thrice = intervals.difference(
        paired(first, first, first, network="a"), paired(second, second, second)
    )
    width = once.high - once.low
    assert thrice.high - thrice.low == pytest.approx(width, rel=0.15)
    one = intervals.interval(unpaired(50.0))
    assert intervals.interval(unpaired(50.0, 50.0, 50.0)) == one


def test_other_seeds_are_as_far_away_as_those_that_were_measured():
    many = 10**6
    # Of two networks; t of 10 degrees of freedom is 2.23.
    apart = {"images": many, "elsewhere": intervals.Seeds(1.0, 10)}
    one, other = (unpaired(v, **apart) for v in (53, 50))
    found = intervals.difference(one, other)
    assert found.high - 3 == pytest.approx(2.228 * math.sqrt(2), abs=0.15)
    assert comparisons.compare(one, other) == 0
    assert comparisons.compare(unpaired(53, images=many), other) == 1
    far = unpaired(55, **apart)
    assert comparisons.compare(far, other) == 1
    # Of three seeds each, the means are surer.
    more = [unpaired(v - 1, v, v + 1, **apart) for v in (53, 50)]
    assert comparisons.compare(*more) == 1
    # One network under two attacks is what it is, whatever its seed.
    same = [unpaired(v, networks=("a",), **apart) for v in (53, 50)]
    assert comparisons.compare(*same) == 1
    # What training and test images have apart is not of this network alone.
    splits = [
        unpaired(v, networks=("a",), split=split, **apart)
        for v, split in ((51, "training"), (50, "test"))
    ]
    assert comparisons.compare(*splits) == 0


def test_seeds_of_many_trainings_are_pooled():
    trainings = [[(1.0, 3.0)], [(10.0,)], [(5.0, 5.0, 8.0)]]
    found = intervals.Seeds.pooled(map(intervals.Seeds.of, trainings))
    # Squares 2 and 6, of 1 and 2 degrees.
    assert found == (pytest.approx(math.sqrt(8 / 3)), 3)
    assert intervals.Seeds.of([(1.0,)]).half_width(1, 0.05) == 0
    # Two attacks on the same two networks are no four networks.
    twice = intervals.Seeds.of([(1.0, 3.0), (5.0, 9.0)])
    assert twice == (pytest.approx(math.sqrt((2 + 8) / 2)), 1)


@pytest.mark.parametrize(
    ("others", "half_width"),
    [
        # Its own seeds alone: t of one degree of freedom, of a deviation of 1.
        (intervals.Seeds(), 12.706),
        # No further apart than chance explains: of 2 to 1, F has p = 0.19.
        (intervals.Seeds(1.0, 10), 2.201 * math.sqrt(12 / 11 / 2)),
        # Of 8 to 1 it has 0.018: these are not alike, and the wider counts.
        (intervals.Seeds(0.5, 10), 12.706),
        (intervals.Seeds(0.0, 10), 12.706),
    ],
)
def test_seeds_that_are_further_apart_than_others_speak_for_themselves(
    others, half_width
):
    found = unpaired(49.0, 51.0, elsewhere=others, images=10**6)
    distance = intervals.interval(found).high - 50
    assert distance == pytest.approx(half_width, abs=0.01)


def test_independent_distances_add_as_squares():
    one, other = unpaired(60.0), unpaired(40.0, images=500)
    ends = [wilson(600, 1000), wilson(200, 500)]
    found = intervals.difference(one, other)
    below = math.hypot(60 - 100 * ends[0][0], 100 * ends[1][1] - 40)
    assert found.low == pytest.approx(20 - below, abs=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1, 2, AGREES),
        (-0.5, 0.5, UNCLEAR),
        (-2, -1, DISAGREES),
        (4, 6, UNCLEAR),
        (6, 7, DISAGREES),
    ],
)
def test_verdicts_are_on_whole_intervals(low, high, verdict):
    found = intervals.Interval((low + high) / 2, low, high)
    assert found.within(0.0, 5.0) == verdict


def test_alike_is_more_than_not_told_apart():
    # 0.3 points at 1,000 images might be 4.
    pair = unpaired(45.6), unpaired(45.3)
    assert comparisons.alike([pair], 1.0).verdict == UNCLEAR
    # On the same 3,000 images they are known to be alike.
    first, second = two_masks(12, 3, images=3000)
    assert mcnemar(12, 3) < 0.05
    same = paired(first, network="a"), paired(second, network="a")
    assert comparisons.alike([same], 1.0).verdict == AGREES
    assert comparisons.alike([same, pair], 1.0).verdict == UNCLEAR
    far = unpaired(60.0), unpaired(40.0)
    assert comparisons.alike([same, pair, far], 1.0).verdict == DISAGREES


def test_what_may_only_fall_is_tested_on_one_side():
    higher = unpaired(30.0), unpaired(40.0)
    assert comparisons.no_more([higher], 1.0).verdict == AGREES
    assert comparisons.alike([higher], 1.0).verdict == DISAGREES
    assert comparisons.no_more([higher[::-1]], 1.0).verdict == DISAGREES
    # Below what a constant answer reaches, a fall is one all the same.
    low = unpaired(9.0, chance=10.0), unpaired(3.0, chance=10.0)
    assert comparisons.no_more([low], 1.0).verdict == DISAGREES
    with pytest.raises(intervals.MissingError, match="constant answer"):
        comparisons.no_more([low[:1] * 2], 1.0)


def test_each_of_several_has_its_share_of_the_level():
    first, second = two_masks(6, 0)
    more = paired(first, network="a"), paired(second, network="a")
    same = paired(second, network="a"), paired(second, network="a")
    assert comparisons.no_more([more], 0.0).verdict == DISAGREES
    found = comparisons.no_more([more, *[same] * 9], 0.0)
    assert found.verdict == UNCLEAR


def test_what_holds_for_several_is_tested_for_each():
    first, second = two_masks(6, 0)
    pair = paired(first, network="a"), paired(second, network="a")
    terms = [(1.0, pair[0]), (-1.0, pair[1])]
    (alone,) = intervals.together([terms], high=0.0)
    assert alone.verdict == DISAGREES
    # One of ten may be outside by chance; that all are inside may not.
    assert {
        found.verdict for found in intervals.together([terms] * 10, high=0.0)
    } == {UNCLEAR}
    usual = intervals.contrast(terms)
    found = intervals.together([terms] * 10, high=usual.high + 0.01)
    assert {tested.verdict for tested in found} == {AGREES}
    assert found[0].interval == usual


def test_two_accuracies_of_nothing_are_not_alike():
    nothing = unpaired(0.0), unpaired(0.9)
    with pytest.raises(intervals.MissingError, match="constant answer"):
        comparisons.alike([nothing], 1.0)
    first, second = two_masks(0, 0)
    same = paired(first, network="a"), paired(second, network="a")
    found = comparisons.alike([nothing, same], 1.0)
    assert found.verdict == AGREES
    # It is not said of what could not be compared.
    assert found.conditions.startswith("1 of 2 comparisons")
    assert comparisons.alike([same, same], 1.0).conditions == ""


def test_constant_answers_are_not_robust():
    chance = {"chance": 10.0}
    constant, weak = unpaired(10.0, **chance), unpaired(4.0, **chance)
    with pytest.raises(intervals.MissingError, match="constant answer"):
        comparisons.stronger(constant, weak)
    robust = unpaired(30.0, **chance)
    assert comparisons.stronger(robust, constant).verdict == AGREES
    with pytest.raises(intervals.MissingError, match="number of classes"):
        comparisons.stronger(unpaired(30.0), unpaired(0.0))


def test_what_is_stated_is_met_only_if_the_interval_is_near_it():
    for value, verdict in ((20, AGREES), (24, UNCLEAR), (40, DISAGREES)):
        found = comparisons.near(unpaired(value), 20.0, 5.0)
        assert found.verdict == verdict


def test_the_share_of_images_has_an_exact_interval():
    assert intervals.most_images(6, 0).low > 50
    assert intervals.most_images(5, 0).low < 50
