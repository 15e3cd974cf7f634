"""What the paper claims, each as a question that stored results answer.

Two accuracies are called different where their difference is larger than both
the 95 % interval of a difference of two independent shares and the spread of
seeds; smaller ones are "not distinguishable".
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.experiment import Row, attacks_in, entry, radii_in
from tfgan_robust.reports.numbers import same_eps

AGREES, DISAGREES = "agrees", "disagrees"
UNCLEAR, UNKNOWN = "not distinguishable", "not measured"
# What experiments published, by name.
Results = Mapping[str, Mapping[str, Any]]
_Z = 1.96


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        verdict: One of the four above.
        figures: On what it rests.
    """

    verdict: str
    figures: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A sentence of the paper.

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
            return self.test(found)
        except MissingError as missing:
            return Finding(UNKNOWN, str(missing))


class MissingError(Exception):
    """Something that was not measured yet."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One accuracy over seeds, in %.

    Attributes:
        name: Of what it is.
        values: One for each seed.
        images: Measured, for each seed.
    """

    name: str
    values: tuple[float, ...]
    images: int

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.mean(self.values)

    @property
    def spread(self) -> float:
        """Largest less smallest."""
        return max(self.values) - min(self.values)

    @property
    def variance(self) -> float:
        """Of the mean, from the number of images alone."""
        share = self.mean / 100
        return 1e4 * share * (1 - share) / (self.images * len(self.values))

    def __str__(self) -> str:
        """Returns name and mean, with the range of seeds."""
        if len(self.values) == 1:
            return f"{self.name} {self.mean:.1f}"
        low, high = min(self.values), max(self.values)
        return f"{self.name} {self.mean:.1f} ({low:.1f} to {high:.1f})"


def compare(one: Measured, other: Measured) -> int:
    """Returns 1 if the first is larger, -1 if smaller, 0 if nobody knows."""
    difference = one.mean - other.mean
    noise = _Z * math.sqrt(one.variance + other.variance)
    if abs(difference) <= max(noise, one.spread, other.spread):
        return 0
    return 1 if difference > 0 else -1


def larger(one: Measured, other: Measured) -> Finding:
    """Tests that the first is larger."""
    verdict = {1: AGREES, 0: UNCLEAR, -1: DISAGREES}[compare(one, other)]
    return Finding(verdict, f"{one}, {other} %")


def alike(pairs: Sequence[tuple[Measured, Measured]]) -> Finding:
    """Tests that pairs cannot be told apart."""
    apart = [pair for pair in pairs if compare(*pair)]
    shown = apart or pairs
    figures = "; ".join(f"{one}, {other} %" for one, other in shown)
    return Finding(DISAGREES if apart else AGREES, figures)


def near(found: Measured, stated: float, within: float = 3.0) -> Finding:
    """Tests that an accuracy is near what the paper states."""
    verdict = AGREES if abs(found.mean - stated) <= within else DISAGREES
    return Finding(verdict, f"{found} %, the paper about {stated:g}")


def measured(
    stored: Mapping[str, Any], attack: str, eps: float, **where: Any
) -> Measured:
    """Returns an accuracy of the rows that have these values.

    Args:
        stored: What an experiment published.
        attack: Such as "clean"; "robust" for the last that was measured.
        eps: In 255ths; 0 for clean images.
        **where: Columns by name, with "_" for spaces.

    Raises:
        MissingError: if there is no such row.
    """
    wanted = {name.replace("_", " "): value for name, value in where.items()}
    name = ", ".join(map(str, wanted.values()))
    rows = [
        row
        for row in stored["rows"]
        if all(row.get(key) == value for key, value in wanted.items())
    ]
    found = [(row, entry(row, attack, eps / 255)) for row in rows]
    values = [(row, each) for row, each in found if each is not None]
    if not values:
        raise MissingError(f"no {attack} at {eps:g}/255 of {name}")
    return Measured(
        f"{name}: {attack}" + (f" {eps:g}/255" if eps else ""),
        tuple(100 * each["accuracy"] for _, each in values),
        values[0][0]["images"],
    )


def _formulation(
    stored: Mapping[str, Any], name: str, attack: str, eps: float
) -> Measured:
    return measured(stored, attack, eps, formulation=name, settings_by="paper")


def _gradients_help(stored: Mapping[str, Any]) -> Finding:
    found = {
        name: _formulation(stored, name, "pgd-100", 8)
        for name in ("x", "xz", "grad", "grad_x")
    }
    weakest = min((found["grad"], found["grad_x"]), key=lambda m: m.mean)
    strongest = max((found["x"], found["xz"]), key=lambda m: m.mean)
    return larger(weakest, strongest)


def _gradients_alike(stored: Mapping[str, Any]) -> Finding:
    return alike(
        [
            (
                _formulation(stored, "grad", attack, eps),
                _formulation(stored, "grad_x", attack, eps),
            )
            for attack in ("fgsm", "pgd-100")
            for eps in (4, 8, 16)
        ]
    )


def _all_defend(stored: Mapping[str, Any]) -> Finding:
    base = _formulation(stored, "baseline", "pgd-100", 8)
    each = [
        _formulation(stored, name, "pgd-100", 8)
        for name in ("x", "xz", "grad", "grad_x")
    ]
    failing = [found for found in each if compare(found, base) < 1]
    shown = failing or each
    figures = ", ".join(map(str, [*shown, base]))
    return Finding(DISAGREES if failing else AGREES, f"{figures} %")


def _gap_of_attacks(stored: Mapping[str, Any]) -> Finding:
    def gap(eps: float) -> float:
        fgsm = _formulation(stored, "grad", "fgsm", eps)
        return fgsm.mean - _formulation(stored, "grad", "pgd-100", eps).mean

    near_, far = gap(4), gap(16)
    return Finding(
        AGREES if far > near_ else DISAGREES,
        f"grad: FGSM less PGD-100 is {near_:.1f} points at 4/255, "
        f"{far:.1f} at 16/255",
    )


def _baseline_cleaner(stored: Mapping[str, Any]) -> Finding:
    base = _formulation(stored, "baseline", "clean", 0)
    best = max(
        (
            _formulation(stored, name, "clean", 0)
            for name in ("x", "xz", "grad", "grad_x")
        ),
        key=lambda found: found.mean,
    )
    return larger(base, best)


def _grad_x_least_clean(stored: Mapping[str, Any]) -> Finding:
    others = [
        _formulation(stored, name, "clean", 0) for name in ("x", "xz", "grad")
    ]
    least = min(others, key=lambda found: found.mean)
    return larger(least, _formulation(stored, "grad_x", "clean", 0))


def _best_at_16(stored: Mapping[str, Any]) -> Finding:
    best = max(
        (
            _formulation(stored, name, "pgd-100", 16)
            for name in ("x", "xz", "grad", "grad_x")
        ),
        key=lambda found: found.mean,
    )
    return near(best, 20)


def _overfits(stored: Mapping[str, Any]) -> Finding:
    one, other = (
        measured(stored, "clean", 0, variant="paper", split=split)
        for split in ("training", "test")
    )
    gap = one.mean - other.mean
    return Finding(
        AGREES if gap >= 10 else DISAGREES,
        f"{one}, {other} %: {gap:.1f} points",
    )


def _two_generators(stored: Mapping[str, Any]) -> Finding:
    attack, eps = _hardest(stored)
    return larger(
        measured(stored, attack, eps, variant="paper", split="test"),
        measured(stored, attack, eps, variant="one generator", split="test"),
    )


def _wider_generators(stored: Mapping[str, Any]) -> Finding:
    attack, eps = _hardest(stored)
    return larger(
        measured(stored, attack, eps, variant="generators x2", split="test"),
        measured(stored, attack, eps, variant="paper", split="test"),
    )


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
    early, late = (
        measured(stored, attack, 16, checkpoint=name)
        for name in (first, at[-1])
    )
    if first == at[-1]:
        raise MissingError(f"nothing after {first}")
    return larger(late, early) if sign > 0 else larger(early, late)


def _iterations_alike(stored: Mapping[str, Any]) -> Finding:
    names = attacks_in(stored["rows"])
    if len(names) != 2:
        raise MissingError("two iteration counts")
    return alike(
        [
            (measured(stored, names[0], eps), measured(stored, names[1], eps))
            for eps in (4, 8, 16)
        ]
    )


def _generator_between(stored: Mapping[str, Any]) -> Finding:
    key = "median overtaking point, 1/255"
    found = {
        name: each[key] if each[key] is not None else math.inf
        for name, each in stored["directions"].items()
    }
    holds = found["PGD"] < found["generator"] < found["FGSM"]
    return Finding(
        AGREES if holds else DISAGREES,
        "median over images: "
        + ", ".join(
            f"{name} {found[name]:.1f}/255"
            for name in ("PGD", "generator", "FGSM")
        ),
    )


def _efficient(stored: Mapping[str, Any]) -> Finding:
    rows: list[Row] = list(stored["rows"])
    budget = max(row["budget"] for row in rows)
    attack, eps = attacks_in(rows)[-1], 255 * radii_in(rows)[-1]
    found = {
        name: measured(stored, attack, eps, variant=name, budget=budget)
        for name in {r["variant"] for r in rows if r["budget"] == budget}
    }
    learned = {
        row["variant"]
        for row in rows
        if row["settings"]["method"] == "gan"
        or "formulation" in row["settings"]
    }
    groups = [
        [each for name, each in found.items() if (name in learned) == kind]
        for kind in (True, False)
    ]
    if not all(groups):
        raise MissingError("generators and yardsticks at one budget")
    best = [max(group, key=lambda each: each.mean) for group in groups]
    return larger(best[0], best[1])


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
        "grad and grad_x perform alike under all attacks.",
        "4.1", "formulations", _gradients_alike,
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
        "At 16/255 the best is about 20 %.",
        "4.1", "formulations", _best_at_16,
    ),
    Claim(
        "Defended classifiers overfit by tens of points (clean images).",
        "4.1", "ablations", _overfits,
    ),
    Claim(
        "Two generators defend better than one.",
        "1 and 3", "ablations", _two_generators,
    ),
    Claim(
        "Generators x2 are slightly better than x1.",
        "4", "ablations", _wider_generators,
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
        "1000 iterations of PGD find no more than 100.",
        "4.3", "pgd_iterations", _iterations_alike,
    ),
    Claim(
        "A generator's noise is stronger than FGSM's, weaker than PGD's.",
        "4.4", "directions", _generator_between,
    ),
    Claim(
        "Generators defend better than other methods in equal training time.",
        "abstract, 4.5", "efficiency", _efficient,
    ),
)  # fmt: skip


def explanations(stored: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """Returns by how much each ablation changes the overfitting.

    Args:
        stored: What `experiments.ablations` published.

    Returns:
        Variant, gap of training and test accuracy on clean images in points,
        and whether that is less than the paper's settings have.
    """
    gaps: dict[str, tuple[float, float]] = {}
    for variant in dict.fromkeys(row["variant"] for row in stored["rows"]):
        try:
            one, other = (
                measured(stored, "clean", 0, variant=variant, split=split)
                for split in ("training", "test")
            )
        except MissingError:
            continue
        noise = _Z * math.sqrt(one.variance + other.variance)
        gaps[variant] = one.mean - other.mean, noise
    if "paper" not in gaps:
        return []
    base, base_noise = gaps["paper"]
    return [
        (variant, gap, _change(gap - base, math.hypot(noise, base_noise)))
        for variant, (gap, noise) in gaps.items()
    ]


def _change(difference: float, noise: float) -> str:
    if difference == 0:
        return "-"
    if abs(difference) <= noise:
        return UNCLEAR
    return "less" if difference < 0 else "more"
