"""Section 4.1: the generators' four inputs, under the paper's settings."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.findings.claims.claim import (
    ABOUT,
    SIMILAR,
    Claim,
    at_each,
    best,
    check_size,
    stated,
)
from experiments.findings.comparisons import (
    Finding,
    Pair,
    alike,
    all_larger,
    all_stronger,
    compare,
    near,
    of_all,
    worst,
)
from experiments.findings.evidence import measured
from experiments.findings.intervals import (
    AGREES,
    DISAGREES,
    LEVEL,
    UNCLEAR,
    Measured,
    MissingError,
    contrast,
    interval,
    together,
)

WITH_GRADIENT, WITH_IMAGE_ALONE = ("grad", "grad_x"), ("x", "xz")
DEFENDED = (*WITH_IMAGE_ALONE, *WITH_GRADIENT)
_ACROSS = tuple(itertools.product(WITH_GRADIENT, WITH_IMAGE_ALONE))
# In 255ths, the first one first: what defends nothing at 8 may do so at 4.
RADII = (8, 4, 16)
# Where a network that is narrow may be more robust than a constant answer.
DEFENDED_AT = (4, 8)


def formulation(
    stored: Mapping[str, Any],
    name: str,
    attack: str,
    eps: float,
    split: str = "test",
) -> Measured:
    """Returns an accuracy of a formulation under the paper's settings."""
    return measured(
        stored, attack, eps, formulation=name, settings_by="paper", split=split
    )


def most_accurate(
    stored: Mapping[str, Any], attack: str, eps: float, split: str = "test"
) -> Measured:
    """Returns the best of the paper's formulations."""
    return best(
        formulation(stored, name, attack, eps, split) for name in DEFENDED
    )


def check_learned(stored: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuses to compare what gives constant answers.

    Raises:
        MissingError: naming it.
    """
    clean = [formulation(stored, name, "clean", 0) for name in names]
    nothing = [str(each) for each in clean if not each.is_above_chance]
    if nothing:
        raise MissingError(f"learned nothing: {', '.join(nothing)} %")


def _all_defend(stored: Mapping[str, Any]) -> Finding:
    """Tests each at each radius that was measured."""
    names = [("baseline", name) for name in DEFENDED]
    pairs = _with_each(stored, names, DEFENDED_AT)
    level = LEVEL / len(pairs)
    return of_all(
        [
            (
                _defends(each, base, level),
                f"{each}, {base}, a constant answer {each.chance:g} %",
            )
            for base, each in pairs
        ]
    )


def _defends(found: Measured, base: Measured, level: float) -> str:
    """Tells whether it is above the baseline, and above a constant answer.

    Such an answer is robust too, and better than 0 %.

    Args:
        found: What is to defend.
        base: The undefended baseline.
        level: Its share, as one of several that must all defend, of how often
            it may be said that one does not.
    """
    if found.is_above_chance and compare(found, base) == 1:
        return AGREES
    nothing = interval(found, level).high <= (found.chance or 0)
    if nothing or compare(found, base, level) == -1:
        return DISAGREES
    return UNCLEAR


def _gradients_help(stored: Mapping[str, Any]) -> Finding:
    return all_stronger(_with_each(stored, _ACROSS, RADII))


def _with_each(
    stored: Mapping[str, Any],
    names: Sequence[tuple[str, str]],
    radii: Sequence[float],
) -> list[Pair]:
    """Pairs formulations under PGD-100, at each radius that was measured."""

    def at(eps: float) -> list[Pair]:
        return [_pair(stored, each, "pgd-100", eps) for each in names]

    return list(itertools.chain.from_iterable(at_each(radii, at)))


def _pair(
    stored: Mapping[str, Any], names: tuple[str, str], attack: str, eps: float
) -> Pair:
    one, other = names
    return (
        formulation(stored, one, attack, eps),
        formulation(stored, other, attack, eps),
    )


def _gradients_alike(stored: Mapping[str, Any]) -> Finding:
    check_learned(stored, WITH_GRADIENT)
    pairs = [
        _pair(stored, WITH_GRADIENT, attack, eps)
        for attack in ("fgsm", "pgd-100")
        for eps in (4, 8, 16)
    ]
    return alike(pairs, SIMILAR)


def _one_step_is_enough(stored: Mapping[str, Any]) -> Finding:
    return alike(_one_step_and_many(stored, (4, 8)), SIMILAR)


def _one_step_leaves_more(stored: Mapping[str, Any]) -> Finding:
    return all_stronger(_one_step_and_many(stored, (16,)))


def _one_step_and_many(
    stored: Mapping[str, Any], radii: Sequence[float]
) -> list[Pair]:
    """Pairs FGSM and PGD-100 on what sees the image alone."""
    check_learned(stored, WITH_IMAGE_ALONE)
    return [
        (
            formulation(stored, name, "fgsm", eps),
            formulation(stored, name, "pgd-100", eps),
        )
        for name in WITH_IMAGE_ALONE
        for eps in radii
    ]


def _gap_of_attacks(stored: Mapping[str, Any]) -> Finding:
    check_learned(stored, WITH_GRADIENT)
    for name in WITH_GRADIENT:
        # Where PGD leaves nothing at first, its loss to FGSM cannot grow.
        _check_leaves_something(formulation(stored, name, "pgd-100", 4))
    sums = [
        [
            (sign * other, formulation(stored, name, attack, eps))
            for sign, eps in ((1.0, 16), (-1.0, 4))
            for other, attack in ((1.0, "fgsm"), (-1.0, "pgd-100"))
        ]
        for name in WITH_GRADIENT
    ]
    found = together(sums, low=0.0)
    if worst([each.verdict for each in found]) != AGREES:
        for name in WITH_GRADIENT:
            # Nor can it where FGSM leaves nothing at last.
            _check_leaves_something(formulation(stored, name, "fgsm", 16))
    texts = [
        f"{name}: FGSM less PGD-100 is {-contrast(terms[2:]).middle:.1f} "
        f"points at 4/255, {contrast(terms[:2]).middle:.1f} at 16/255, "
        f"{tested.interval} more"
        for name, terms, tested in zip(WITH_GRADIENT, sums, found, strict=True)
    ]
    return Finding(worst([each.verdict for each in found]), "; ".join(texts))


def _check_leaves_something(found: Measured) -> None:
    """Refuses what a constant answer reaches, too.

    Raises:
        MissingError: saying so.
    """
    if not found.is_above_chance:
        raise MissingError(f"{found} %: a constant answer has as much")


def _baseline_cleaner(stored: Mapping[str, Any]) -> Finding:
    check_learned(stored, ["baseline"])
    base = formulation(stored, "baseline", "clean", 0)
    clean = [formulation(stored, name, "clean", 0) for name in DEFENDED]
    if not any(each.is_above_chance for each in clean):
        check_learned(stored, DEFENDED)
    return all_larger([(base, each) for each in clean])


def _gradients_least_clean(stored: Mapping[str, Any]) -> Finding:
    check_learned(stored, DEFENDED)
    pairs = [_pair(stored, names, "clean", 0) for names in _ACROSS]
    return all_larger([(other, one) for one, other in pairs])


def _grad_x_least_clean(stored: Mapping[str, Any]) -> Finding:
    check_learned(stored, DEFENDED)
    least = formulation(stored, "grad_x", "clean", 0)
    return all_larger(
        [
            (formulation(stored, name, "clean", 0), least)
            for name in DEFENDED
            if name != "grad_x"
        ]
    )


def _best_at_16(stored: Mapping[str, Any]) -> Finding:
    best = most_accurate(stored, "pgd-100", 16)
    check_size(stored, best)
    return near(best, stated("best at 16/255"), ABOUT)


CLAIMS = (
    Claim(
        "All formulations improve robustness over the baseline, and over a "
        f"constant answer, at {' and '.join(map(str, DEFENDED_AT))}/255.",
        "4.1", "formulations", _all_defend,
    ),
    Claim(
        "Formulations with the gradient are more robust than those without.",
        "4.1", "formulations", _gradients_help,
    ),
    Claim(
        f"grad and grad_x perform alike under all attacks (by {SIMILAR:g} "
        "points).",
        "4.1", "formulations", _gradients_alike,
    ),
    Claim(
        "With the image alone, FGSM and PGD find the same at 4 and 8/255 (by "
        f"{SIMILAR:g} points).",
        "4.1", "formulations", _one_step_is_enough,
    ),
    Claim(
        "With the image alone, PGD finds more than FGSM at 16/255.",
        "4.1", "formulations", _one_step_leaves_more,
    ),
    Claim(
        "With gradient inputs, PGD gains on FGSM as the radius grows.",
        "4.1", "formulations", _gap_of_attacks,
    ),
    Claim(
        "The baseline is more accurate on clean images than any formulation.",
        "4.1", "formulations", _baseline_cleaner,
    ),
    Claim(
        "Formulations with the gradient have lower clean accuracies than those "
        "without.",
        "4.1", "formulations", _gradients_least_clean,
    ),
    Claim(
        "grad_x has the lowest clean accuracy.",
        "4.1", "formulations", _grad_x_least_clean,
    ),
    Claim(
        f"At 16/255 the best is about {stated('best at 16/255'):g} % (by "
        f"{ABOUT:g} points).",
        "4.1", "formulations", _best_at_16,
    ),
)  # fmt: skip
