"""Sections 4.2 to 4.4: longer training, longer attacks, and directions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.findings import marks
from experiments.findings.claims.claim import (
    ABOUT,
    SAME,
    Claim,
    at_first,
    check_size,
    stated,
    worst,
)
from experiments.findings.claims.formulations import (
    DEFENDED,
    check_learned,
    formulation,
)
from experiments.findings.comparisons import Finding, alike, near, stronger
from experiments.findings.evidence import measured
from experiments.findings.intervals import Measured, MissingError, most_images
from experiments.harness.experiment import Row, attacks_in


def _over_epochs(stored: Mapping[str, Any], attack: str, sign: int) -> Finding:
    rows: list[Row] = list(stored["rows"])
    at = sorted(
        {row["checkpoint"] for row in rows},
        key=lambda name: int(name.removeprefix("epoch-")),
    )
    if len(at) < 2:
        raise MissingError("only one epoch")
    # From where the paper starts; it says nothing of the first epochs.
    first = next((a for a in at if int(a.removeprefix("epoch-")) >= 50), at[0])
    if first == at[-1]:
        raise MissingError(f"nothing after {first}")

    def grows(eps: float) -> Finding:
        early, late = (
            measured(stored, attack, eps, checkpoint=name)
            for name in (first, at[-1])
        )
        return stronger(late, early) if sign > 0 else stronger(early, late)

    # The paper sees most at the largest radius.
    return at_first((16, 8, 4), grows)


def _iterations_alike(stored: Mapping[str, Any]) -> Finding:
    names = attacks_in(stored["rows"])
    if len(names) != 2:
        raise MissingError("two iteration counts")
    pairs = [
        (measured(stored, names[0], eps), measured(stored, names[1], eps))
        for eps in (4, 8, 16)
    ]
    return alike(pairs, SAME)


def _pgd_is_enough(stored: Mapping[str, Any]) -> Finding:
    names = attacks_in(stored["rows"])
    stronger_ = [name for name in names if name.startswith("autoattack")]
    if not stronger_:
        raise MissingError("no AutoAttack")
    clean = {name: formulation(stored, name, "clean", 0) for name in DEFENDED}
    learned = [name for name, each in clean.items() if each.is_above_chance]
    if not learned:
        check_learned(stored, DEFENDED)
    pairs = [
        (
            formulation(stored, name, "pgd-100", 8),
            formulation(stored, name, min(stronger_, key=len), 8),
        )
        for name in learned
    ]
    return alike(pairs, SAME)


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
    return Finding(
        worst([verdict for verdict, _ in found]),
        f"{'; '.join(text for _, text in found)}; medians: {medians}",
    )


def _length(found: float) -> str:
    return f"{255 * found:.1f}/255" if np.isfinite(found) else "never"


CLAIMS = (
    Claim(
        "Accuracy under FGSM grows with more epochs.",
        "4.2", "epochs", lambda stored: _over_epochs(stored, "fgsm", 1),
    ),
    Claim(
        "Accuracy under PGD falls slightly with more epochs.",
        "4.2", "epochs", lambda stored: _over_epochs(stored, "pgd-100", -1),
    ),
    Claim(
        f"1000 iterations of PGD find no more than 100 (by {SAME:g} point).",
        "4.3", "pgd_iterations", _iterations_alike,
    ),
    Claim(
        "PGD of 100 iterations is enough to tell robustness: AutoAttack "
        f"finds no more at 8/255 (by {SAME:g} point).",
        "4.3", "formulations", _pgd_is_enough,
    ),
    Claim(
        "A generator's noise is stronger than FGSM's, weaker than PGD's.",
        "4.4", "directions", _generator_between,
    ),
    Claim(
        f"At 8/255 accuracy is about {stated('at 8/255'):g} % (by "
        f"{ABOUT:g} points).",
        "abstract", "pgd_iterations", _at_8,
    ),
)  # fmt: skip
