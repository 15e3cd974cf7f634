"""What accuracies over seeds allow to say of each other.

All that is said of a quantity comes from its interval.
"""

import dataclasses
import math
from collections.abc import Sequence

from experiments.findings.intervals import (
    AGREES,
    DISAGREES,
    LEVEL,
    WORST_FIRST,
    Measured,
    MissingError,
    difference,
    interval,
    together,
)

Pair = tuple[Measured, Measured]
# Where nothing can be said.
UNKNOWN = "no answer"
# In %: two accuracies below it say nothing of each other, where nobody knows
# what a constant answer reaches.
_NOTHING = 1.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        verdict: What an interval says, or UNKNOWN.
        figures: On what it rests.
        conditions: What was smaller here than in the paper.
    """

    verdict: str
    figures: str
    conditions: str = ""


def compare(one: Measured, other: Measured, level: float = LEVEL) -> int:
    """Returns 1 if the first is larger, -1 if smaller, 0 if nobody knows."""
    verdict = difference(one, other, level).within(low=0.0)
    return {AGREES: 1, DISAGREES: -1}.get(verdict, 0)


def larger(one: Measured, other: Measured) -> Finding:
    """Tests that the first is larger."""
    found = difference(one, other)
    return Finding(found.within(low=0.0), f"{one}, {other} %: {found} points")


def stronger(one: Measured, other: Measured) -> Finding:
    """Tests that the first is more robust.

    Raises:
        MissingError: if a constant answer may be as robust as the larger.
    """
    best = max(one, other, key=lambda found: found.mean)
    if not best.is_above_chance:
        raise MissingError(
            f"{one}, {other} %: the larger is not told from a constant "
            f"answer's {best.chance:g} %"
        )
    return larger(one, other)


def all_larger(pairs: Sequence[Pair]) -> Finding:
    """Tests that the first of each pair is larger."""
    return _together(pairs, low=0.0)


def all_stronger(pairs: Sequence[Pair]) -> Finding:
    """Tests that the first of each pair is more robust.

    Raises:
        MissingError: if a constant answer may be as robust as all of them.
    """
    return _of_telling(pairs, low=0.0)


def no_more(pairs: Sequence[Pair], within: float) -> Finding:
    """Tests that the first of no pair is larger by so many points.

    Args:
        pairs: Tested together; see `intervals.together`.
        within: In points.

    Raises:
        MissingError: if a constant answer may be as accurate as all of them,
            and none is refuted all the same.
    """
    found = _together(pairs, high=within)
    if found.verdict == DISAGREES:
        return found
    return _of_telling(pairs, high=within)


def alike(pairs: Sequence[Pair], within: float) -> Finding:
    """Tests that no pair differs by more than so many points.

    That a difference is not seen says little of its size: where intervals
    are wider than that, the answer is "not distinguishable".

    Args:
        pairs: Tested together; see `intervals.together`.
        within: In points.

    Raises:
        MissingError: if a constant answer may be as accurate as all of them.
    """
    return _of_telling(pairs, -within, within)


def _of_telling(
    pairs: Sequence[Pair], low: float = -math.inf, high: float = math.inf
) -> Finding:
    """Tests the pairs of which not both may be constant answers.

    Where these agree, the others are still owed, which is a condition.
    """
    telling = [pair for pair in pairs if any(_says_something(m) for m in pair)]
    if not telling:
        shown = "; ".join(f"{one}, {other} %" for one, other in pairs)
        raise MissingError(f"{shown}: a constant answer reaches as much")
    found = _together(telling, low, high)
    if found.verdict != AGREES or len(telling) == len(pairs):
        return found
    return dataclasses.replace(
        found,
        conditions=f"{len(telling)} of {len(pairs)} comparisons, since in the "
        "others a constant answer does as well",
    )


def _together(
    pairs: Sequence[Pair], low: float = -math.inf, high: float = math.inf
) -> Finding:
    sums = [[(1.0, one), (-1.0, other)] for one, other in pairs]
    found = [
        (tested.verdict, f"{one}, {other} %: {tested.interval} points")
        for (one, other), tested in zip(
            pairs, together(sums, low, high), strict=True
        )
    ]
    return of_all(found)


def of_all(found: Sequence[tuple[str, str]]) -> Finding:
    """Returns what is found where several things must all hold.

    Args:
        found: The verdict on each, and its figures; those of the worst count.
    """
    verdict = worst([said for said, _ in found])
    return Finding(
        verdict, "; ".join(text for said, text in found if said == verdict)
    )


def _says_something(found: Measured) -> bool:
    if found.chance is None:
        return found.mean >= _NOTHING
    return found.is_above_chance


def worst(verdicts: Sequence[str]) -> str:
    """Returns the verdict on several things that must all hold."""
    return next(verdict for verdict in WORST_FIRST if verdict in verdicts)


def near(found: Measured, stated: float, within: float) -> Finding:
    """Tests that an accuracy is within so many points of what is stated."""
    around = interval(found)
    return Finding(
        around.within(stated - within, stated + within),
        f"{found} %, interval {around.low:.1f} to {around.high:.1f}; the "
        f"paper about {stated:g}",
    )
