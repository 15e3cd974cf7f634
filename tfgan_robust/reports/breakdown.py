"""Evaluations broken down: by attack, by radius, by class."""

from collections.abc import Iterable

import numpy as np

from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.reports.numbers import format_eps, wilson
from tfgan_robust.reports.reading import UNKNOWN, StoredEvaluation
from tfgan_robust.reports.results import (
    STORED,
    WORST,
    Evaluation,
    Pointwise,
    Result,
    correct_within,
)

# An accuracy, and the ends of its interval.
Share = tuple[float, float, float]


def named_rows(evaluation: Evaluation) -> list[tuple[str, Result | Pointwise]]:
    """Returns every accuracy with its attack, worst cases last.

    These are named `WORST` and, of images of 256 levels, `STORED`.
    """
    return [
        *((result.attack, result) for result in evaluation.results),
        *((WORST, row) for row in evaluation.pointwise),
        *((STORED, row) for row in evaluation.stored),
    ]


def several_attacks(names: Iterable[str]) -> bool:
    """Tells whether worst cases say more than the rows beside them.

    Args:
        names: Of rows, as `named_rows` has them.
    """
    return len({*names} - {CLEAN, WORST, STORED}) > 1


def accuracies(evaluation: Evaluation) -> dict[str, list[Result | Pointwise]]:
    """Returns the accuracies under each attack, and under all of them.

    Each list begins with clean images, at an eps of 0, and goes on by rising
    eps. The list of all attacks together is the last, named `WORST`.
    """
    rows = named_rows(evaluation)
    clean = [row for name, row in rows if name == CLEAN]
    found: dict[str, list[Result | Pointwise]] = {}
    for name, row in rows:
        # So near to the worst case that pictures could not tell them apart.
        if name not in (CLEAN, STORED):
            found.setdefault(name, [*clean]).append(row)
    return {n: sorted(r, key=lambda row: row.eps) for n, r in found.items()}


def middle_eps(evaluation: Evaluation) -> float:
    """Returns the middle one of the radii, at which audits are made, too."""
    radii = sorted(row.eps for row in evaluation.pointwise)
    return radii[len(radii) // 2]


def confusion(stored: StoredEvaluation) -> tuple[np.ndarray, list[str], str]:
    """Returns what each class is taken for by the strongest attack.

    Returns:
        Images by class (rows) and prediction (columns), the names of the
        columns, and the attack: the strongest one at `middle_eps`.
    """
    evaluation, names = stored.evaluation, stored.class_names
    eps = middle_eps(evaluation)
    # On a tie, the last: people name the stronger attacks later.
    strongest = min(
        reversed([r for r in evaluation.results if r.eps == eps]),
        key=lambda result: result.num_correct,
    )
    # Unknown predictions, -1, fall into the last column.
    counts = np.zeros((len(names), len(names) + 1), np.int64)
    predicted = evaluation.predicted[strongest.attack, eps]
    np.add.at(counts, (stored.labels, predicted), 1)
    names = [*names, UNKNOWN] if counts[:, -1].any() else names
    attack = f"{strongest.attack} at {format_eps(eps)}"
    return counts[:, : len(names)], names, attack


def shares_by_class(
    stored: StoredEvaluation,
) -> dict[str, list[Share | None]]:
    """Returns accuracies on each class: clean, and in the worst case.

    Returns:
        For the two, in that order, by a title: one accuracy for each of
        `stored.class_names`, None for a class without images.
    """
    evaluation, names = stored.evaluation, stored.class_names
    eps = middle_eps(evaluation)
    masks = {
        CLEAN: evaluation.masks[CLEAN, 0.0],
        f"{WORST} at {format_eps(eps)}": correct_within(evaluation.masks, eps),
    }
    return {
        title: [_share(mask[stored.labels == n]) for n in range(len(names))]
        for title, mask in masks.items()
    }


def _share(correct: np.ndarray) -> Share | None:
    if not len(correct):
        return None
    count = int(correct.sum())
    return (count / len(correct), *wilson(count, len(correct)))
