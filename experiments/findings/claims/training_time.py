"""The abstract and section 4.5: accuracy for training time."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.findings.claims.claim import SIMILAR, Claim, best
from experiments.findings.comparisons import Finding, alike, stronger
from experiments.findings.evidence import measured
from experiments.findings.intervals import Measured, MissingError
from experiments.harness import variants
from experiments.harness.experiment import Row, attacks_in, radii_in


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
        [found[name] for name in side] for side in variants.sides(found)
    )
    if not (learned and others):
        raise MissingError("generators and yardsticks at one budget")
    return best(_most_seeds(learned)), best(_most_seeds(others))


def _most_seeds(found: Sequence[Measured]) -> list[Measured]:
    """Leaves out what may be the best by one lucky seed."""
    most = max(len(each.values) for each in found)
    return [each for each in found if len(each.values) == most]


def _efficient(stored: Mapping[str, Any]) -> Finding:
    budget = max((row["budget"] for row in stored["rows"]), default=0)
    said = stronger(*rivals(stored, budget))
    names = {r["variant"] for r in stored["rows"] if r["budget"] == budget}
    learned, others = map(len, variants.sides(names))
    return Finding(
        said.verdict,
        f"{said.figures}; the best of {learned} generators and of {others} "
        "others",
    )


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
    return alike(pairs, SIMILAR)


CLAIMS = (
    Claim(
        "Generators defend better than other methods in equal training time.",
        "abstract, 4.5", "efficiency", _efficient,
    ),
)  # fmt: skip


# What the paper does not ask.
QUESTIONS = (
    Claim(
        "Training in bfloat16 costs no robustness (by "
        f"{SIMILAR:g} points).",
        "none", "precision", _bfloat16_costs_nothing,
    ),
)  # fmt: skip
