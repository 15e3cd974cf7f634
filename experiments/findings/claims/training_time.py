"""The abstract and section 4.5: accuracy for training time."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.findings.claims.claim import SIMILAR, Claim, at_each, best
from experiments.findings.comparisons import (
    Finding,
    Pair,
    all_stronger,
    no_more,
)
from experiments.findings.evidence import measured
from experiments.findings.intervals import (
    AGREES,
    UNCLEAR,
    Measured,
    MissingError,
)
from experiments.harness import variants
from experiments.harness.experiment import Row, attacks_in, radii_in


def rivals(
    stored: Mapping[str, Any],
    budget: int,
    learned: Sequence[str] = variants.LEARNED,
    others: Sequence[str] = variants.UNLEARNED,
) -> tuple[Measured, Measured]:
    """Returns the most robust that a training time gives, of two sides.

    Under the attack that decides; where seeds are repeated, only of those
    that are.

    Args:
        stored: What `efficiency` published.
        budget: The training time.
        learned: Variants with generators, all or some.
        others: Variants without, all or some.

    Returns:
        The best of each.

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
    with_one = [found[name] for name in learned if name in found]
    without = [found[name] for name in others if name in found]
    if not (with_one and without):
        raise MissingError("generators and yardsticks at one budget")
    return best(_most_seeds(with_one)), best(_most_seeds(without))


def _most_seeds(found: Sequence[Measured]) -> list[Measured]:
    """Leaves out what may be the best by one lucky seed."""
    most = max(len(each.values) for each in found)
    return [each for each in found if len(each.values) == most]


def _win(
    side: str, others: Sequence[str] = variants.UNLEARNED
) -> Callable[[Mapping[str, Any]], Finding]:
    """Tests that a kind of generators wins in each training time.

    Args:
        side: Of `variants.FAMILIES`.
        others: Variants without generators, of which the best must lose.
    """

    def test(stored: Mapping[str, Any]) -> Finding:
        budgets = sorted({row["budget"] for row in stored["rows"]})
        pairs = list(at_each(budgets, lambda budget: rivals_in(stored, budget)))
        told = all_stronger(pairs)
        # It is asked of each training time.
        all_of = len(pairs) == len(budgets) and all(
            any(each.is_above_chance for each in pair) for pair in pairs
        )
        if told.verdict == AGREES and not all_of:
            return dataclasses.replace(told, verdict=UNCLEAR)
        return told

    def rivals_in(stored: Mapping[str, Any], budget: float) -> Pair:
        learned = variants.FAMILIES[side]
        one, other = rivals(stored, int(budget), learned, others)
        words = f"in the time of {budget:g} epochs of {variants.UNIT}, "
        return dataclasses.replace(one, name=words + one.name), other

    return test


def _bfloat16_costs_nothing(stored: Mapping[str, Any]) -> Finding:
    rows = stored["rows"]
    if not rows:
        raise MissingError("nothing")
    eps = 255 * radii_in(rows)[-1]
    pairs = [
        (
            measured(stored, attack, eps, precision="float32"),
            measured(stored, attack, eps, precision="mixed_bfloat16"),
        )
        for attack in attacks_in(rows)
    ]
    return no_more(pairs, SIMILAR)


CLAIMS = (
    Claim(
        "Generators defend better than training against 7 steps of PGD, in "
        "equal training time.",
        "abstract, 1, 4.5", "efficiency",
        _win("generators move images", ["pgd-7"]),
    ),
)  # fmt: skip


# What the paper does not ask.
QUESTIONS = (
    Claim(
        "Generators that move images defend better than what has none, in "
        "equal training time.",
        "none", "efficiency", _win("generators move images"),
    ),
    Claim(
        "Generators that say where a step begins defend better than what has "
        "none, in equal training time.",
        "none", "efficiency", _win("generators say where to start"),
    ),
    Claim(
        "Training in bfloat16 costs no robustness (by "
        f"{SIMILAR:g} points).",
        "none", "precision", _bfloat16_costs_nothing,
    ),
)  # fmt: skip
