"""What the paper claims, each as a question that stored results answer.

`comparisons.py` says when accuracies are called different, or alike.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments import efficiency, marks
from experiments.comparisons import (
    AGREES,
    DISAGREES,
    LEVEL,
    UNCLEAR,
    UNKNOWN,
    Finding,
    Interval,
    Measured,
    MissingError,
    alike,
    compare,
    contrast,
    larger,
    most_images,
    near,
    stronger,
)
from experiments.evidence import Results, measured, spreads
from experiments.experiment import Row, attacks_in, radii_in
from tfgan_robust.reports.numbers import same_eps

WITH_GRADIENT, WITH_IMAGE_ALONE = ("grad", "grad_x"), ("x", "xz")
DEFENDED = (*WITH_IMAGE_ALONE, *WITH_GRADIENT)
# In points: how far apart accuracies of one classifier are alike, and those
# of two; how far "about" goes; from where on a gap is overfitting.
_SAME, _SIMILAR, _ABOUT, _OVERFIT = 1.0, 3.0, 5.0, 10.0


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
        found = results.get(self.experiment)
        if found is None:
            return Finding(
                UNKNOWN, f"experiments.{self.experiment} was not run"
            )
        try:
            return self.test({**found, "spreads": spreads(results)})
        except MissingError as missing:
            return Finding(UNKNOWN, str(missing))


def stated(name: str) -> float:
    """Returns an accuracy that the paper's text states, in %."""
    return float(marks.STATED["text"][name]["accuracy"])


def formulation(
    stored: Mapping[str, Any], name: str, attack: str, eps: float
) -> Measured:
    """Returns an accuracy of a formulation under the paper's settings."""
    return measured(stored, attack, eps, formulation=name, settings_by="paper")


def most_accurate(
    stored: Mapping[str, Any], attack: str, eps: float
) -> Measured:
    """Returns the best of the paper's formulations."""
    return _best(formulation(stored, name, attack, eps) for name in DEFENDED)


def _best(found: Iterable[Measured]) -> Measured:
    return max(found, key=lambda each: each.mean)


def _least(found: Iterable[Measured]) -> Measured:
    return min(found, key=lambda each: each.mean)


def _check_learned(stored: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuses to compare what gives constant answers.

    Raises:
        MissingError: naming it.
    """
    clean = [formulation(stored, name, "clean", 0) for name in names]
    nothing = [str(each) for each in clean if not each.is_above_chance]
    if nothing:
        raise MissingError(f"learned nothing: {', '.join(nothing)} %")


def _worst(verdicts: Sequence[str]) -> str:
    """The verdict on several things that must all hold."""
    return next(v for v in (DISAGREES, UNCLEAR, AGREES) if v in verdicts)


def _all_defend(stored: Mapping[str, Any]) -> Finding:
    base = formulation(stored, "baseline", "pgd-100", 8)
    found = []
    for name in DEFENDED:
        each = formulation(stored, name, "pgd-100", 8)
        # A constant answer is robust too, and better than 0 %.
        defends = each.is_above_chance
        told = AGREES if compare(each, base) == 1 else UNCLEAR
        found.append((told if defends else DISAGREES, str(each)))
    verdict = _worst([said for said, _ in found])
    figures = ", ".join(text for said, text in found if said == verdict)
    return Finding(
        verdict, f"{figures}, {base} %; a constant answer {base.chance:g} %"
    )


def _gradients_help(stored: Mapping[str, Any]) -> Finding:
    at = "pgd-100", 8
    return stronger(
        _least(formulation(stored, name, *at) for name in WITH_GRADIENT),
        _best(formulation(stored, name, *at) for name in WITH_IMAGE_ALONE),
    )


def _gradients_alike(stored: Mapping[str, Any]) -> Finding:
    _check_learned(stored, WITH_GRADIENT)
    one, other = WITH_GRADIENT
    pairs = [
        (
            formulation(stored, one, attack, eps),
            formulation(stored, other, attack, eps),
        )
        for attack in ("fgsm", "pgd-100")
        for eps in (4, 8, 16)
    ]
    return alike(pairs, _SIMILAR)


def _one_step_is_enough(stored: Mapping[str, Any]) -> Finding:
    _check_learned(stored, WITH_IMAGE_ALONE)
    pairs = [
        (
            formulation(stored, name, "fgsm", eps),
            formulation(stored, name, "pgd-100", eps),
        )
        for name in WITH_IMAGE_ALONE
        for eps in (4, 8)
    ]
    return alike(pairs, _SIMILAR)


def _gap_of_attacks(stored: Mapping[str, Any]) -> Finding:
    found = []
    for name in WITH_GRADIENT:
        _check_learned(stored, [name])
        terms = [
            (sign * other, formulation(stored, name, attack, eps))
            for sign, eps in ((1.0, 16), (-1.0, 4))
            for other, attack in ((1.0, "fgsm"), (-1.0, "pgd-100"))
        ]
        near_, far = contrast(terms[2:]), contrast(terms[:2])
        grown = contrast(terms)
        found.append(
            (
                grown.within(low=0.0),
                f"{name}: FGSM less PGD-100 is {-near_.middle:.1f} points at "
                f"4/255, {far.middle:.1f} at 16/255, {grown} more",
            )
        )
    return Finding(
        _worst([verdict for verdict, _ in found]),
        "; ".join(text for _, text in found),
    )


def _baseline_cleaner(stored: Mapping[str, Any]) -> Finding:
    base = formulation(stored, "baseline", "clean", 0)
    return larger(base, most_accurate(stored, "clean", 0))


def _grad_x_least_clean(stored: Mapping[str, Any]) -> Finding:
    _check_learned(stored, DEFENDED)
    others = [name for name in DEFENDED if name != "grad_x"]
    return larger(
        _least(formulation(stored, name, "clean", 0) for name in others),
        formulation(stored, "grad_x", "clean", 0),
    )


def _best_at_16(stored: Mapping[str, Any]) -> Finding:
    best = most_accurate(stored, "pgd-100", 16)
    return near(best, stated("best at 16/255"), _ABOUT)


def _pgd_is_enough(stored: Mapping[str, Any]) -> Finding:
    names = attacks_in(stored["rows"])
    stronger_ = [name for name in names if name.startswith("autoattack")]
    if not stronger_:
        raise MissingError("no AutoAttack")
    clean = {name: formulation(stored, name, "clean", 0) for name in DEFENDED}
    learned = [name for name, each in clean.items() if each.is_above_chance]
    if not learned:
        _check_learned(stored, DEFENDED)
    pairs = [
        (
            formulation(stored, name, "pgd-100", 8),
            formulation(stored, name, min(stronger_, key=len), 8),
        )
        for name in learned
    ]
    return alike(pairs, _SAME)


def _gap(stored: Mapping[str, Any], variant: str) -> list[tuple[float, Any]]:
    """Training images less test images."""
    return [
        (sign, measured(stored, "clean", 0, variant=variant, split=split))
        for sign, split in ((1.0, "training"), (-1.0, "test"))
    ]


def _overfits(stored: Mapping[str, Any]) -> Finding:
    terms = _gap(stored, "paper")
    gap = contrast(terms)
    told = _told(terms, gap) + _trained_on(stored)
    return Finding(gap.within(low=_OVERFIT), told)


def _undefended_does_not(stored: Mapping[str, Any]) -> Finding:
    terms = _gap(stored, "undefended")
    gap = contrast(terms)
    told = _told(terms, gap) + _trained_on(stored)
    return Finding(gap.within(-_SIMILAR, _SIMILAR), told)


def _trained_on(stored: Mapping[str, Any]) -> str:
    """On how many images, where that is not all."""
    counts = {
        row.get("resolved", row.get("settings", {})).get("train_images")
        for row in stored["rows"]
    }
    shown = ", ".join(str(count) for count in counts if count)
    return f", trained on {shown} images" if shown else ""


def _pairs_overfit_less(stored: Mapping[str, Any]) -> Finding:
    one, two = _gap(stored, "one generator"), _gap(stored, "paper")
    less = contrast([*one, *((-weight, each) for weight, each in two)])
    return Finding(
        less.within(low=0.0),
        f"{_told(one, contrast(one))}; {_told(two, contrast(two))}; {less}",
    )


def _told(terms: Sequence[tuple[float, Measured]], sum_: Interval) -> str:
    return f"{', '.join(str(found) for _, found in terms)} %: {sum_} points"


def _variants(one: str, other: str) -> Callable[[Mapping[str, Any]], Finding]:
    """Tests that the first ablation is more robust than the second."""

    def test(stored: Mapping[str, Any]) -> Finding:
        attack, eps = _hardest(stored)
        return stronger(
            measured(stored, attack, eps, variant=one, split="test"),
            measured(stored, attack, eps, variant=other, split="test"),
        )

    return test


def _hardest(stored: Mapping[str, Any]) -> tuple[str, float]:
    """The last attack at 8/255, or at the middle radius."""
    rows = [row for row in stored["rows"] if row["split"] == "test"]
    if not rows:
        raise MissingError("no test images")
    radii = radii_in(rows)
    eps = 8 if any(same_eps(r, 8 / 255) for r in radii) else 255 * radii[-1]
    return attacks_in(rows)[-1], eps


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
    found = MissingError("no radius")
    # The paper sees most at the largest radius.
    for eps in (16, 8, 4):
        try:
            early, late = (
                measured(stored, attack, eps, checkpoint=name)
                for name in (first, at[-1])
            )
            if sign > 0:
                return stronger(late, early)
            return stronger(early, late)
        except MissingError as missing:
            found = missing
    raise found


def _iterations_alike(stored: Mapping[str, Any]) -> Finding:
    names = attacks_in(stored["rows"])
    if len(names) != 2:
        raise MissingError("two iteration counts")
    pairs = [
        (measured(stored, names[0], eps), measured(stored, names[1], eps))
        for eps in (4, 8, 16)
    ]
    return alike(pairs, _SAME)


def table_2(stored: Mapping[str, Any], attack: str, eps: float) -> Measured:
    """Returns an accuracy of the long run after as many epochs as Table 2."""
    epochs = marks.STATED["table 2 after epochs"]
    return measured(stored, attack, eps, checkpoint=f"epoch-{epochs}")


def _at_8(stored: Mapping[str, Any]) -> Finding:
    found = table_2(stored, "pgd-100", 8)
    return near(found, stated("at 8/255"), _ABOUT)


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
        _worst([verdict for verdict, _ in found]),
        f"{'; '.join(text for _, text in found)}; medians: {medians}",
    )


def _length(found: float) -> str:
    return f"{255 * found:.1f}/255" if np.isfinite(found) else "never"


def rivals(stored: Mapping[str, Any], budget: int) -> tuple[Measured, Measured]:
    """Returns the most robust that a training time gives, of two sides.

    Under the attack that decides; where seeds are repeated, only of those
    that are.

    Args:
        stored: What `efficiency` published.
        budget: The training time.

    Returns:
        The best with a generator, and the best without.

    Raises:
        MissingError: if either was not measured.
    """
    rows: list[Row] = [row for row in stored["rows"] if row["budget"] == budget]
    if not rows:
        raise MissingError("nothing")
    attack, eps = attacks_in(rows)[-1], 255 * radii_in(rows)[-1]
    found = {
        name: measured({**stored, "rows": rows}, attack, eps, variant=name)
        for name in dict.fromkeys(row["variant"] for row in rows)
    }
    learned, others = (
        [found[name] for name in side] for side in efficiency.sides(found)
    )
    if not (learned and others):
        raise MissingError("generators and yardsticks at one budget")
    return _best(_most_seeds(learned)), _best(_most_seeds(others))


def _efficient(stored: Mapping[str, Any]) -> Finding:
    budget = max((row["budget"] for row in stored["rows"]), default=0)
    said = stronger(*rivals(stored, budget))
    names = {r["variant"] for r in stored["rows"] if r["budget"] == budget}
    learned, others = map(len, efficiency.sides(names))
    return Finding(
        said.verdict,
        f"{said.figures}; the best of {learned} generators and of {others} "
        "others",
    )


def _most_seeds(found: Sequence[Measured]) -> list[Measured]:
    """Leaves out what may be the best by one lucky seed."""
    most = max(len(each.values) for each in found)
    return [each for each in found if len(each.values) == most]


def _bfloat16_costs_nothing(stored: Mapping[str, Any]) -> Finding:
    rows = stored["rows"]
    if not rows:
        raise MissingError("nothing")
    eps = 255 * radii_in(rows)[-1]
    pairs = [
        (
            measured(stored, attack, eps, precision="mixed_bfloat16"),
            measured(stored, attack, eps, precision="float32"),
        )
        for attack in attacks_in(rows)
    ]
    return alike(pairs, _SIMILAR)


CLAIMS = (
    Claim(
        "All formulations improve robustness over the baseline.",
        "4.1", "formulations", _all_defend,
    ),
    Claim(
        "Formulations with the gradient are more robust than those without.",
        "4.1", "formulations", _gradients_help,
    ),
    Claim(
        f"grad and grad_x perform alike under all attacks (by {_SIMILAR:g} "
        "points).",
        "4.1", "formulations", _gradients_alike,
    ),
    Claim(
        "With the image alone, FGSM and PGD find the same at 4 and 8/255 (by "
        f"{_SIMILAR:g} points).",
        "4.1", "formulations", _one_step_is_enough,
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
        "grad_x has the lowest clean accuracy.",
        "4.1", "formulations", _grad_x_least_clean,
    ),
    Claim(
        f"At 16/255 the best is about {stated('best at 16/255'):g} % (by "
        f"{_ABOUT:g} points).",
        "4.1", "formulations", _best_at_16,
    ),
    Claim(
        "Defended classifiers overfit: training images are over "
        f"{_OVERFIT:g} points more accurate than test images.",
        "4.1", "ablations", _overfits,
    ),
    Claim(
        "The undefended classifier does not: they are alike (by "
        f"{_SIMILAR:g} points).",
        "4.1", "ablations", _undefended_does_not,
    ),
    Claim(
        "Two generators defend better than one.",
        "1 and 3", "ablations", _variants("paper", "one generator"),
    ),
    Claim(
        "Two generators overfit less than one.",
        "3", "ablations", _pairs_overfit_less,
    ),
    Claim(
        "Generators x2 are slightly better than x1.",
        "4", "ablations", _variants("generators x2", "paper"),
    ),
    Claim(
        "Accuracy under FGSM grows with more epochs.",
        "4.2", "epochs", lambda stored: _over_epochs(stored, "fgsm", 1),
    ),
    Claim(
        "Accuracy under PGD falls slightly with more epochs.",
        "4.2", "epochs", lambda stored: _over_epochs(stored, "pgd-100", -1),
    ),
    Claim(
        f"1000 iterations of PGD find no more than 100 (by {_SAME:g} point).",
        "4.3", "pgd_iterations", _iterations_alike,
    ),
    Claim(
        "PGD of 100 iterations is enough to tell robustness: AutoAttack "
        f"finds no more at 8/255 (by {_SAME:g} point).",
        "4.3", "formulations", _pgd_is_enough,
    ),
    Claim(
        "A generator's noise is stronger than FGSM's, weaker than PGD's.",
        "4.4", "directions", _generator_between,
    ),
    Claim(
        f"At 8/255 accuracy is about {stated('at 8/255'):g} % (by "
        f"{_ABOUT:g} points).",
        "abstract", "pgd_iterations", _at_8,
    ),
    Claim(
        "Generators defend better than other methods in equal training time.",
        "abstract, 4.5", "efficiency", _efficient,
    ),
)  # fmt: skip

# What the paper does not ask.
QUESTIONS = (
    Claim(
        "Training in bfloat16 costs no robustness (by "
        f"{_SIMILAR:g} points).",
        "none", "precision", _bfloat16_costs_nothing,
    ),
)  # fmt: skip


class Explanation(NamedTuple):
    """What an ablation does to overfitting.

    Attributes:
        variant: Its name.
        gap: Training less test accuracy on clean images, in points.
        change: Of the gap, from that of the paper's settings; None for these.
        verdict: "less", "more" or "not distinguishable"; "-" for these.
        test: Accuracy of test images, clean.
    """

    variant: str
    gap: Interval
    change: Interval | None
    verdict: str
    test: Measured


def explanations(results: Results) -> list[Explanation]:
    """Returns by how much each ablation changes the overfitting.

    Each change is tested at its share of the level.
    """
    if "ablations" not in results:
        return []
    stored = {**results["ablations"], "spreads": spreads(results)}
    gaps = {}
    for variant in dict.fromkeys(row["variant"] for row in stored["rows"]):
        try:
            gaps[variant] = _gap(stored, variant)
        except MissingError:
            continue
    if "paper" not in gaps:
        return []
    level = LEVEL / max(1, len(gaps) - 1)
    found = []
    for variant, terms in gaps.items():
        change, verdict = None, "-"
        if variant != "paper":
            less = [(-weight, each) for weight, each in gaps["paper"]]
            change = contrast([*terms, *less], level)
            verdict = {AGREES: "less", DISAGREES: "more"}.get(
                change.within(high=0.0), UNCLEAR
            )
        gap = contrast(terms)
        found.append(Explanation(variant, gap, change, verdict, terms[1][1]))
    return found
