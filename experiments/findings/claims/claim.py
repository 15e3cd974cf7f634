"""What a claim is, and what its tests share."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from experiments.findings import marks
from experiments.findings.comparisons import UNKNOWN, Finding
from experiments.findings.evidence import Results, with_seeds
from experiments.findings.intervals import Measured, MissingError
from experiments.findings.reduced import reduced

# In points: how far apart accuracies of one classifier are alike, and those
# of two; how far "about" goes.
SAME, SIMILAR, ABOUT = 1.0, 3.0, 5.0

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence of the paper, or a question of ours.

    Attributes:
        text: What it says, in our words.
        source: The paper's section.
        experiment: Whose results answer.
        test: Answers.
    """

    text: str
    source: str
    experiment: str
    test: Callable[[Mapping[str, Any]], Finding]

    def judge(self, results: Results) -> Finding:
        """Returns what results say."""
        if self.experiment not in results:
            return Finding(
                UNKNOWN, f"experiments.{self.experiment} was not run"
            )
        try:
            found = self.test(with_seeds(results, self.experiment))
        except MissingError as missing:
            found = Finding(UNKNOWN, str(missing))
        known = found.conditions, reduced(results[self.experiment])
        conditions = ", ".join(each for each in known if each)
        return dataclasses.replace(found, conditions=conditions)


def stated(name: str) -> float:
    """Returns an accuracy that the paper's text states, in %."""
    return float(marks.STATED["text"][name]["accuracy"])


def at_each(
    radii: Iterable[float], test: Callable[[float], Answer]
) -> Iterator[Answer]:
    """Yields what a test says at each radius where it says anything.

    Args:
        radii: In 255ths.
        test: Of one.

    Raises:
        MissingError: what is missing at the first, if it says nothing at any.
    """
    missing: list[MissingError] = []
    silent = True
    for eps in radii:
        try:
            found = test(eps)
        except MissingError as error:
            missing.append(error)
            continue
        silent = False
        yield found
    if silent:
        raise missing[0] if missing else MissingError("no radius")


def at_first(
    radii: Iterable[float], test: Callable[[float], Finding]
) -> Finding:
    """Returns what a test says first; see `at_each`."""
    return next(at_each(radii, test))


def check_size(stored: Mapping[str, Any], found: Measured) -> None:
    """Refuses to hold what has less than the paper's to its figures.

    Raises:
        MissingError: saying of what.
    """
    smaller = reduced(stored)
    if smaller:
        raise MissingError(f"{found} %, of {smaller}")


def best(found: Iterable[Measured]) -> Measured:
    """Returns the most accurate."""
    return max(found, key=lambda each: each.mean)
