"""Accuracies over seeds, their sums and differences, with 95 % intervals.

An interval is paired image by image where the masks of the same images are
kept; for two classifiers of one seed each it is then no narrower than McNemar's
exact test. It is widened by how far seeds are apart, since another seed is
another classifier.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgan_robust.reports.numbers import wilson

# What an interval says of a statement.
AGREES, DISAGREES = "agrees", "disagrees"
UNCLEAR = "not distinguishable"
WORST_FIRST = (DISAGREES, UNCLEAR, AGREES)
# How often an interval may miss.
LEVEL = 0.05


class MissingError(Exception):
    """Something that was not measured, or that answers nothing."""


class Seeds(NamedTuple):
    """How far accuracies of several seeds are from their mean.

    Attributes:
        deviation: The standard deviation, in points.
        degrees: Of freedom, from which it is known; 0 if nothing was repeated.
    """

    deviation: float = 0.0
    degrees: int = 0

    @classmethod
    def of(cls, measured: Iterable[Sequence[float]]) -> "Seeds":
        """Returns how far the seeds of one training are apart.

        Args:
            measured: What was measured of it, such as under several attacks:
                accuracies in %, one for each seed. However much is measured of
                the same networks, they are no more networks.
        """
        repeated = [values for values in measured if len(values) > 1]
        if not repeated:
            return cls()
        variance = statistics.mean(map(statistics.variance, repeated))
        return cls(math.sqrt(variance), max(map(len, repeated)) - 1)

    @classmethod
    def pooled(cls, trainings: Iterable["Seeds"]) -> "Seeds":
        """Returns what trainings have in common."""
        squares, degrees = 0.0, 0
        for each in trainings:
            squares += each.degrees * each.deviation**2
            degrees += each.degrees
        return cls(math.sqrt(squares / max(1, degrees)), degrees)

    def times(self, factor: float) -> "Seeds":
        """Returns how far so many times the accuracies are apart."""
        return Seeds(factor * self.deviation, self.degrees)

    def exceeds(self, other: "Seeds") -> bool:
        """Tells whether these are further apart, by more than chance.

        By the F test of two variances; what was not repeated is not.
        """
        if not self.degrees or self.deviation <= other.deviation:
            return False
        if not other.deviation:
            return True
        from scipy.stats import f

        ratio = (self.deviation / other.deviation) ** 2
        return float(f.sf(ratio, self.degrees, other.degrees)) < LEVEL

    def half_width(self, count: int, level: float) -> float:
        """Returns by how much the mean over seeds may miss, in points.

        Args:
            count: Of seeds.
            level: How often it may be more.
        """
        if not self.degrees:
            return 0.0
        from scipy.stats import t

        ends = float(t.ppf(1 - level / 2, self.degrees))
        return ends * self.deviation / math.sqrt(count)


@dataclasses.dataclass(frozen=True)
class Measured:
    """One accuracy over seeds, in %.

    Attributes:
        name: Of what it is.
        values: One for each seed.
        images: Measured, for each seed.
        masks: bool [images] for each seed: which are correct; empty where
            they are not kept.
        image_set: Which images, so that others can be paired with them.
        split: Of the data set, of which these images are.
        networks: Whose accuracies these are, one for each seed.
        elsewhere: How far seeds of other trainings are apart.
        chance: What a constant answer reaches, in %; None if unknown.
    """

    name: str
    values: tuple[float, ...]
    images: int
    masks: tuple[np.ndarray, ...] = dataclasses.field(
        default=(), compare=False, repr=False
    )
    image_set: str = ""
    split: str = ""
    networks: tuple[str, ...] = ()
    elsewhere: Seeds = Seeds()
    chance: float | None = None

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.mean(self.values)

    @property
    def is_above_chance(self) -> bool:
        """Whether it is told from a constant answer.

        Raises:
            MissingError: if nobody knows what that reaches.
        """
        if self.chance is None:
            raise MissingError(f"the number of classes of {self.name}")
        return interval(self).low > self.chance

    def __str__(self) -> str:
        """Returns name and mean, with the range of seeds."""
        if len(self.values) == 1:
            return f"{self.name} {self.mean:.1f}"
        low, high = min(self.values), max(self.values)
        return f"{self.name} {self.mean:.1f} ({low:.1f} to {high:.1f})"


@dataclasses.dataclass(frozen=True)
class Interval:
    """A quantity with the ends of its interval, in points."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        """Returns all three, signed."""
        return f"{self.middle:+.1f} ({self.low:+.1f} to {self.high:+.1f})"

    def within(self, low: float = -math.inf, high: float = math.inf) -> str:
        """Returns the verdict on lying strictly between two ends."""
        if low < self.low and self.high < high:
            return AGREES
        if self.high < low or high < self.low:
            return DISAGREES
        return UNCLEAR


# Accuracies, each with its weight in a sum.
Terms = Sequence[tuple[float, Measured]]


def interval(found: Measured, level: float = LEVEL) -> Interval:
    """Returns an accuracy in % with its interval."""
    return contrast([(1.0, found)], level)


def difference(
    one: Measured, other: Measured, level: float = LEVEL
) -> Interval:
    """Returns by how much the first is larger."""
    return contrast([(1.0, one), (-1.0, other)], level)


def contrast(terms: Terms, level: float = LEVEL) -> Interval:
    """Returns a weighted sum of accuracies with its interval.

    Args:
        terms: Weights and accuracies. Those of the same images are taken
            image by image, all others as independent (the squares of their
            distances add, as in Newcombe's interval of a difference).
        level: How often the interval may miss.
    """
    middle = sum(weight * found.mean for weight, found in terms)
    below = above = _of_seeds(terms, level) ** 2
    for group in _by_images(terms):
        down, up = _sampling(group, level)
        below += down**2
        above += up**2
    return Interval(
        middle, middle - math.sqrt(below), middle + math.sqrt(above)
    )


class Tested(NamedTuple):
    """What an interval says of a statement, and the interval."""

    verdict: str
    interval: Interval


def together(
    sums: Sequence[Terms], low: float = -math.inf, high: float = math.inf
) -> list[Tested]:
    """Tests a statement that holds if each of several sums is within ends.

    It agrees where each sum does so at the usual level: were one of them
    outside, that one would have to be missed. It disagrees as soon as one sum
    is outside, each of which has therefore a share of the level.

    Args:
        sums: What must be within the ends, all of them.
        low: In points.
        high: In points.
    """
    found = []
    for terms in sums:
        usual = contrast(terms)
        verdict = usual.within(low, high)
        if verdict == DISAGREES:
            verdict = contrast(terms, LEVEL / len(sums)).within(low, high)
        found.append(Tested(verdict, usual))
    return found


def _by_images(terms: Terms) -> Iterator[Terms]:
    groups: dict[Any, list[tuple[float, Measured]]] = {}
    for number, (weight, found) in enumerate(terms):
        paired = bool(found.masks and found.image_set)
        key = (found.image_set, found.images) if paired else number
        groups.setdefault(key, []).append((weight, found))
    yield from groups.values()


def _sampling(terms: Terms, level: float) -> tuple[float, float]:
    """Distances to both ends, from the draw of images alone."""
    if len(terms) > 1:
        return _paired(terms, level)
    ((weight, found),) = terms
    count = found.images
    low, high = wilson(round(found.mean / 100 * count), count)
    # Those ends are at the usual level.
    scale = abs(weight) * _z(level) / _z(LEVEL)
    ends = found.mean - 100 * low, 100 * high - found.mean
    down, up = (scale * max(0.0, end) for end in ends)
    return (down, up) if weight > 0 else (up, down)


def _paired(terms: Terms, level: float) -> tuple[float, float]:
    """Distances to both ends, from what each image says."""
    each = sum(weight * np.mean(m.masks, axis=0) for weight, m in terms)
    values = np.asarray(each, np.float64)
    count = len(values)
    deviation = float(np.std(values))
    if deviation < 1e-9:
        # No image differs; of more of them some might.
        end = 100 * wilson(0, count)[1]
        return end, end
    normal = 100 * _z(level) * deviation / math.sqrt(count)
    if not set(np.unique(values)) <= {-1.0, 0.0, 1.0}:
        return normal, normal
    # McNemar's test, turned into an interval.
    from scipy.stats import binomtest

    only = int((values > 0).sum()), int((values < 0).sum())
    differing = sum(only)
    ends = binomtest(only[0], differing).proportion_ci(1 - level, "exact")
    middle = only[0] / differing
    scale = 200 * differing / count
    return (
        max(normal, scale * (middle - float(ends.low))),
        max(normal, scale * (float(ends.high) - middle)),
    )


def _of_seeds(terms: Terms, level: float) -> float:
    """What other seeds may change, in points."""
    groups: dict[Any, list[tuple[float, Measured]]] = {}
    for number, (weight, found) in enumerate(terms):
        groups.setdefault(found.networks or number, []).append((weight, found))
    # Attacks on the same networks say something of these; what training and
    # test images have apart is said of the training, which has other seeds.
    splits = {found.split for _, found in terms}
    same = len(terms) > 1 and len(groups) == len(splits) == 1
    return math.hypot(*(_moved(each, level, same) for each in groups.values()))


def _moved(terms: Terms, level: float, same: bool) -> float:
    """By how much other seeds may move what is said of some networks."""
    sums = [
        sum(weight * value for weight, value in seed)
        for seed in zip(
            *([(w, v) for v in found.values] for w, found in terms),
            strict=True,
        )
    ]
    own = Seeds.of([sums])
    width = own.half_width(len(sums), level)
    _, first = terms[0]
    if same or not first.elsewhere.degrees:
        return width
    # Accuracies of one network on several images move together.
    others = first.elsewhere.times(max(abs(weight) for weight, _ in terms))
    known = Seeds.pooled([own, others]).half_width(len(sums), level)
    return max(width, known) if own.exceeds(others) else known


def _z(level: float) -> float:
    return statistics.NormalDist().inv_cdf(1 - level / 2)


def most_images(before: int, after: int, level: float = LEVEL) -> Interval:
    """Returns the share of images, in %, of which the first holds.

    Args:
        before: Images of which it holds, of those that decide.
        after: Images of which the opposite holds; at least one of both.
        level: How often the interval may miss.
    """
    from scipy.stats import binomtest

    count = before + after
    ends = binomtest(before, count).proportion_ci(1 - level, "exact")
    return Interval(
        100 * before / count, 100 * float(ends.low), 100 * float(ends.high)
    )
