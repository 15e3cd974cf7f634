"""Numbers that the paper's text states, beside ours."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from experiments.findings import marks
from experiments.findings.claims.attacks import table_2
from experiments.findings.claims.formulations import formulation, most_accurate
from experiments.findings.evidence import Results, with_seeds
from experiments.findings.intervals import Measured, MissingError, interval


class Stated(NamedTuple):
    """One number.

    Attributes:
        what: Of which classifier and images.
        section: Of the paper.
        paper: Its accuracy, in words and %.
        here: What comes closest here, with its interval.
        less: Ours less the paper's, in points; empty if it was not measured.
    """

    what: str
    section: str
    paper: str
    here: str
    less: str


def _undefended(split: str) -> Callable[[Any], Measured]:
    return lambda stored: formulation(stored, "baseline", "clean", 0, split)


def _defended(split: str) -> Callable[[Any], Measured]:
    return lambda stored: most_accurate(stored, "clean", 0, split)


# By name in paper.json: whose results say something of it, and what.
_OURS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Measured]], ...] = (
    ("undefended, test", "formulations", _undefended("test")),
    ("undefended, training", "formulations", _undefended("training")),
    ("defended, test", "formulations", _defended("test")),
    ("defended, training", "formulations", _defended("training")),
    (
        "best at 16/255",
        "formulations",
        lambda stored: most_accurate(stored, "pgd-100", 16),
    ),
    (
        "at 8/255",
        "formulations",
        lambda stored: most_accurate(stored, "pgd-100", 8),
    ),
    (
        "at 8/255",
        "pgd_iterations",
        lambda stored: table_2(stored, "pgd-100", 8),
    ),
)


def numbers(results: Results) -> Iterator[Stated]:
    """Yields each number that the text states, with what was found here.

    Args:
        results: What experiments published; those on other images than the
            paper's data set say nothing.
    """
    for name, experiment, find in _OURS:
        said = marks.STATED["text"][name]
        stored = results.get(experiment)
        here, less = f"experiments.{experiment} was not run", ""
        if stored is not None and marks.applies(stored["rows"]):
            try:
                found = find(with_seeds(results, experiment))
            except MissingError as missing:
                here = str(missing)
            else:
                around = interval(found)
                here = (
                    f"{experiment}, {found} (interval {around.low:.1f} to "
                    f"{around.high:.1f})"
                )
                less = f"{found.mean - said['accuracy']:+.1f}"
        elif stored is not None:
            here = "other images"
        paper = f"{said['words']} {said['accuracy']:g}"
        yield Stated(name, said["section"], paper, here, less)
