"""Sections 4.2 to 4.4: longer training, longer attacks, and directions."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.findings import marks
from experiments.findings.claims.claim import (
    ABOUT,
    SAME,
    SIMILAR,
    Claim,
    at_first,
    check_size,
    stated,
)
from experiments.findings.claims.formulations import (
    DEFENDED,
    RADII,
    check_learned,
    formulation,
)
from experiments.findings.comparisons import (
    Finding,
    alike,
    near,
    no_more,
    stronger,
    worst,
)
from experiments.findings.evidence import measured
from experiments.findings.intervals import (
    AGREES,
    Measured,
    MissingError,
    difference,
    most_images,
)
from experiments.harness.experiment import attacks_in
from tfgan_robust.reports.numbers import same_eps

# From which epoch on the paper says what more of them change.
_SETTLED = 50


def _ends(stored: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the checkpoints between which training is said to change."""
    found = {row["checkpoint"]: row["epochs"] for row in stored["rows"]}
    at = sorted(found, key=lambda name: found[name])
    if len(at) < 2:
        raise MissingError("only one epoch")
    # Of the first epochs, in which everything grows, the paper says nothing.
    first = next((name for name in at if found[name] >= _SETTLED), at[0])
    if first == at[-1]:
        raise MissingError(f"nothing after {first}")
    return first, at[-1]


def _over_epochs(stored: Mapping[str, Any], attack: str, sign: int) -> Finding:
    first, last = _ends(stored)
    grown = difference(
        measured(stored, "clean", 0, checkpoint=last),
        measured(stored, "clean", 0, checkpoint=first),
    )

    def grows(eps: float) -> Finding:
        late, early = (
            measured(stored, attack, eps, checkpoint=name)
            for name in (last, first)
        )
        return stronger(late, early) if sign > 0 else stronger(early, late)

    # The paper sees most at the largest radius.
    found = at_first((16, 8, 4), grows)
    if grown.within(low=0.0) != AGREES:
        return found
    return dataclasses.replace(
        found,
        figures=f"{found.figures}; clean accuracy grows by {grown} points",
        conditions="still learning",
    )


def _clean_stays(stored: Mapping[str, Any]) -> Finding:
    first, last = (
        measured(stored, "clean", 0, checkpoint=name) for name in _ends(stored)
    )
    return alike([(last, first)], SIMILAR)


def _iterations_alike(stored: Mapping[str, Any]) -> Finding:
    names = attacks_in(stored["rows"])
    if len(names) != 2:
        raise MissingError("two iteration counts")
    pairs = [
        (measured(stored, names[0], eps), measured(stored, names[1], eps))
        for eps in (4, 8, 16)
    ]
    return no_more(pairs, SAME)


def _pgd_is_enough(stored: Mapping[str, Any]) -> Finding:
    clean = {name: formulation(stored, name, "clean", 0) for name in DEFENDED}
    learned = [name for name, each in clean.items() if each.is_above_chance]
    if not learned:
        check_learned(stored, DEFENDED)

    def enough_at(eps: float) -> Finding:
        return no_more(
            [
                (
                    formulation(stored, name, "pgd-100", eps),
                    formulation(stored, name, _strongest(stored, eps), eps),
                )
                for name in learned
            ],
            SAME,
        )

    return at_first(RADII, enough_at)


def _strongest(stored: Mapping[str, Any], eps: float) -> str:
    """Returns the AutoAttack that was measured at a radius, in full if it was.

    Raises:
        MissingError: if there is none.
    """
    found = {
        each["attack"]
        for row in stored["rows"]
        for each in row["accuracy"]
        if each["attack"].startswith("autoattack")
        and same_eps(each["eps"], eps / 255)
    }
    if not found:
        raise MissingError(f"no AutoAttack at {eps:g}/255")
    return min(found, key=len)


def table_2(stored: Mapping[str, Any], attack: str, eps: float) -> Measured:
    """Returns an accuracy of the long run after as many epochs as Table 2."""
    epochs = marks.STATED["table 2 after epochs"]
    return measured(stored, attack, eps, checkpoint=f"epoch-{epochs}")


def _at_8(stored: Mapping[str, Any]) -> Finding:
    found = table_2(stored, "pgd-100", 8)
    check_size(stored, found)
    return near(found, stated("at 8/255"), ABOUT)


def _generator_between(stored: Mapping[str, Any]) -> Finding:
    if "overtaken" not in stored:
        raise MissingError("directions.npz is not there")
    points = {
        name: np.nan_to_num(each, nan=np.inf)
        for name, each in stored["overtaken"].items()
    }
    found = []
    for first, second in (("PGD", "generator"), ("generator", "FGSM")):
        one, other = points[first], points[second]
        before, after = int((one < other).sum()), int((one > other).sum())
        if not before + after:
            raise MissingError(f"{first} and {second} overtake alike")
        share = most_images(before, after)
        text = (
            f"{first} overtakes before {second} in {share.middle:.1f} % "
            f"({share.low:.1f} to {share.high:.1f}) of {before + after} images"
        )
        found.append((share.within(low=50.0), text))
    medians = ", ".join(
        f"{name} {_length(float(np.median(each)))}"
        for name, each in points.items()
    )
    # Which of two leads further depends on how far one goes.
    trained = float(stored["resolved"]["eps"])
    within = ", ".join(
        f"{name} {100 * np.mean(each <= trained):.1f}"
        for name, each in points.items()
    )
    return Finding(
        worst([verdict for verdict, _ in found]),
        f"{'; '.join(text for _, text in found)}; medians: {medians}; "
        f"overtaken within {_length(trained)}, the radius of training: "
        f"{within} % of {points['PGD'].size} images",
    )


def _length(found: float) -> str:
    return f"{255 * found:.1f}/255" if np.isfinite(found) else "never"


CLAIMS = (
    Claim(
        "Clean accuracy stays as it is with more epochs (by "
        f"{SIMILAR:g} points).",
        "4.2", "epochs", _clean_stays,
    ),
    Claim(
        "Accuracy under FGSM grows with more epochs.",
        "4.2", "epochs", lambda stored: _over_epochs(stored, "fgsm", 1),
    ),
    Claim(
        "Accuracy under PGD falls with more epochs.",
        "4.2", "epochs", lambda stored: _over_epochs(stored, "pgd-100", -1),
    ),
    Claim(
        f"1000 iterations of PGD find no more than 100 (by {SAME:g} point).",
        "4.3", "pgd_iterations", _iterations_alike,
    ),
    Claim(
        "PGD of 100 iterations is enough to tell robustness: AutoAttack "
        f"finds no more (by {SAME:g} point).",
        "4.3", "formulations", _pgd_is_enough,
    ),
    Claim(
        "Along a generator's noise another class overtakes sooner than along "
        "FGSM's, later than along PGD's.",
        "4.4", "directions", _generator_between,
    ),
    Claim(
        f"At 8/255 accuracy is about {stated('at 8/255'):g} % (by "
        f"{ABOUT:g} points).",
        "abstract", "pgd_iterations", _at_8,
    ),
)  # fmt: skip
