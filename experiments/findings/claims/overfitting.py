"""Sections 1, 3 and 4.1: what the number of generators and overfitting do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.ablations import BASE, DECAY, MORE_DECAY
from experiments.findings.claims.claim import SIMILAR, Claim, at_first
from experiments.findings.claims.formulations import (
    DEFENDED,
    check_learned,
    formulation,
)
from experiments.findings.comparisons import (
    UNKNOWN,
    Finding,
    of_all,
    stronger,
)
from experiments.findings.evidence import Results, measured, with_seeds
from experiments.findings.intervals import (
    AGREES,
    DISAGREES,
    LEVEL,
    UNCLEAR,
    Interval,
    Measured,
    MissingError,
    contrast,
    together,
)
from experiments.harness.experiment import attacks_in, radii_in

# In points: from where on a gap is overfitting.
_OVERFIT = 10.0
# The radius that is asked first.
_USUAL = 8 / 255


def _gap(accuracy: Callable[[str], Measured]) -> list[tuple[float, Measured]]:
    """Training images less test images, from the accuracy of a split."""
    return [(1.0, accuracy("training")), (-1.0, accuracy("test"))]


def _gap_of_ablation(
    stored: Mapping[str, Any], variant: str
) -> list[tuple[float, Measured]]:
    """Returns its gap.

    Raises:
        MissingError: if it learned nothing, or was not measured.
    """
    terms = _gap(
        lambda split: measured(stored, "clean", 0, variant=variant, split=split)
    )
    test = terms[1][1]
    if not test.is_above_chance:
        raise NothingLearnedError(terms)
    return terms


class NothingLearnedError(MissingError):
    """An ablation that answers nothing.

    Args:
        terms: Its accuracies of training and of test images.
    """

    def __init__(self, terms: list[tuple[float, Measured]]) -> None:
        super().__init__(f"learned nothing: {terms[1][1]} %")
        self.terms = terms


def _gap_of_formulation(
    stored: Mapping[str, Any], name: str
) -> list[tuple[float, Measured]]:
    check_learned(stored, [name])
    return _gap(lambda split: formulation(stored, name, "clean", 0, split))


def _overfit(stored: Mapping[str, Any]) -> Finding:
    gaps = [_gap_of_formulation(stored, name) for name in DEFENDED]
    found = together(gaps, low=_OVERFIT)
    return of_all(
        [
            (each.verdict, _told(terms, each.interval))
            for terms, each in zip(gaps, found, strict=True)
        ]
    )


def _undefended_does_not(stored: Mapping[str, Any]) -> Finding:
    terms = _gap_of_formulation(stored, "baseline")
    gap = contrast(terms)
    return Finding(gap.within(-SIMILAR, SIMILAR), _told(terms, gap))


def _pairs_overfit_less(stored: Mapping[str, Any]) -> Finding:
    one, two = (
        _gap_of_ablation(stored, name) for name in ("one generator", BASE)
    )
    _check_overfits(one, two)
    less = contrast([*one, *((-weight, each) for weight, each in two)])
    return Finding(
        less.within(low=0.0),
        f"{_told(one, contrast(one))}; {_told(two, contrast(two))}; {less}",
    )


def _decay_helps_little(stored: Mapping[str, Any]) -> Finding:
    base, decayed = (_gap_of_ablation(stored, name) for name in (BASE, DECAY))
    _check_overfits(base)
    less = contrast([*base, *((-weight, each) for weight, each in decayed)])
    return Finding(
        less.within(high=SIMILAR),
        f"{_told(base, contrast(base))}; {_told(decayed, contrast(decayed))}; "
        f"smaller by {less}",
    )


def _check_overfits(*gaps: list[tuple[float, Measured]]) -> None:
    """Refuses to ask what helps against overfitting where there is none.

    Raises:
        MissingError: with the gaps of which none is overfitting.
    """
    if not any(contrast(g).within(low=_OVERFIT) == AGREES for g in gaps):
        shown = "; ".join(_told(gap, contrast(gap)) for gap in gaps)
        raise MissingError(f"no overfitting: {shown}")


def _told(terms: Sequence[tuple[float, Measured]], sum_: Interval) -> str:
    return f"{', '.join(str(found) for _, found in terms)} %: {sum_} points"


def _variants(one: str, other: str) -> Callable[[Mapping[str, Any]], Finding]:
    """Tests that the first ablation is more robust than the second."""

    def test(stored: Mapping[str, Any]) -> Finding:
        rows = [row for row in stored["rows"] if row["split"] == "test"]
        if not rows:
            raise MissingError("no test images")
        attack, radii = attacks_in(rows)[-1], radii_in(rows)
        nearest = sorted(radii, key=lambda radius: abs(radius - _USUAL))
        return at_first(
            [255 * radius for radius in nearest],
            lambda eps: stronger(
                measured(stored, attack, eps, variant=one, split="test"),
                measured(stored, attack, eps, variant=other, split="test"),
            ),
        )

    return test


CLAIMS = (
    Claim(
        "All defended classifiers overfit: training images are over "
        f"{_OVERFIT:g} points more accurate than test images.",
        "4.1", "formulations", _overfit,
    ),
    Claim(
        "The undefended classifier does not overfit: both are alike (by "
        f"{SIMILAR:g} points).",
        "4.1", "formulations", _undefended_does_not,
    ),
    Claim(
        "Two generators overfit less than one.",
        "3", "ablations", _pairs_overfit_less,
    ),
    Claim(
        "Generators x2 are slightly better than x1.",
        "4", "ablations", _variants("generators x2", BASE),
    ),
    Claim(
        "Weight decay helps little against overfitting (by less than "
        f"{SIMILAR:g} points).",
        "4.1", "ablations", _decay_helps_little,
    ),
    Claim(
        "More weight decay than 0.0001 costs robustness.",
        "4.1", "ablations", _variants(DECAY, MORE_DECAY),
    ),
)  # fmt: skip

# What the paper does not say in so many words.
QUESTIONS = (
    Claim(
        "Two generators defend better than one.",
        "1 and 3", "ablations", _variants(BASE, "one generator"),
    ),
)  # fmt: skip


class Explanation(NamedTuple):
    """What an ablation does to overfitting.

    Attributes:
        variant: Its name.
        gap: Training less test accuracy on clean images, in points.
        change: Of the gap, from that of the base; None for this, and for what
            learned nothing.
        verdict: "less", "more" or "not distinguishable"; "-" for the base;
            "no answer" for what learned nothing.
        training: Accuracy of training images, clean.
        test: The same of test images.
    """

    variant: str
    gap: Interval
    change: Interval | None
    verdict: str
    training: Measured
    test: Measured


def explanations(results: Results) -> list[Explanation]:
    """Returns by how much each ablation changes the overfitting.

    Each change is tested at its share of the level.
    """
    if "ablations" not in results:
        return []
    stored = with_seeds(results, "ablations")
    gaps, nothing = {}, set()
    for variant in dict.fromkeys(row["variant"] for row in stored["rows"]):
        try:
            gaps[variant] = _gap_of_ablation(stored, variant)
        except NothingLearnedError as error:
            gaps[variant] = error.terms
            nothing.add(variant)
        except MissingError:
            continue
    if BASE not in gaps or BASE in nothing:
        return []
    level = LEVEL / max(1, len(gaps) - len(nothing) - 1)
    found = []
    for variant, terms in gaps.items():
        change, verdict = None, UNKNOWN if variant in nothing else "-"
        if variant not in (BASE, *nothing):
            less = [(-weight, each) for weight, each in gaps[BASE]]
            change = contrast([*terms, *less], level)
            verdict = {AGREES: "less", DISAGREES: "more"}.get(
                change.within(high=0.0), UNCLEAR
            )
        gap = contrast(terms)
        accuracies = (each for _, each in terms)
        found.append(Explanation(variant, gap, change, verdict, *accuracies))
    return found
