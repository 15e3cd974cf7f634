"""Evaluations side by side: a page, a CSV file and a figure."""

import csv
import io
import itertools
from pathlib import Path

from tfgan_robust import files
from tfgan_robust.errors import UsageError
from tfgan_robust.reports import plot_style, plots
from tfgan_robust.reports.breakdown import (
    accuracies,
    named_rows,
    several_attacks,
)
from tfgan_robust.reports.comparison import Runs, differences, paired
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.results import WORST
from tfgan_robust.reports.tables import audit_line, markdown_table

# An attack, the norm where it is not the same everywhere, and a radius.
_Column = tuple[str, str, float]
_COPIED = (
    "num_images", "num_correct", "accuracy", "accuracy_low", "accuracy_high",
)  # fmt: skip


def format_comparison(runs: Runs) -> str:
    """Returns the table, warnings, and paired tests, as Markdown."""
    blocks = [_table(runs)]
    blocks.append(
        "Accuracy in % of n images; in the worst case an image is correct if "
        "nothing fooled it at this eps or a smaller one."
    )
    warnings = differences(runs)
    if warnings:
        blocks.append("\n".join(f"- warning: {line}" for line in warnings))
    tests = paired(runs)
    if tests:
        blocks.append(
            "Images that only the first or only the second gets correct, over "
            "the attacks that both underwent, and the exact p-value of "
            "McNemar's test, not corrected for their number:"
        )
        blocks.append("\n".join(f"- {line}" for line in tests))
    return "\n\n".join(blocks)


def write_comparison(runs: Runs, folder: Path) -> None:
    """Writes compare.md, compare.csv and, if there are curves, compare.png.

    Args:
        runs: The evaluations.
        folder: Made if it is not there.

    Raises:
        UsageError: if it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"`output` must be a folder. Received: {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    blocks = ["# Comparison", format_comparison(runs)]
    if draw_comparison(runs, folder / "compare.png"):
        blocks.append("![accuracy over eps](compare.png)")
    else:
        (folder / "compare.png").unlink(missing_ok=True)
    files.write_text(folder / "compare.csv", to_csv(runs))
    files.write_text(folder / "compare.md", "\n\n".join(blocks) + "\n")


def to_csv(runs: Runs) -> str:
    """Returns one line for each accuracy."""
    lines = []
    for name, stored in runs.items():
        evaluation, dataset = stored.evaluation, stored.conditions.dataset
        for attack, row in named_rows(evaluation):
            lines.append(
                {
                    "run": name,
                    "classifier": evaluation.classifier,
                    "attack": attack,
                    "eps": row.eps,
                    "norm": evaluation.norm,
                    "protocol": getattr(row, "protocol", ""),
                    **{field: getattr(row, field) for field in _COPIED},
                    "dataset": dataset.name,
                    "split": dataset.split,
                    "seed": evaluation.seed,
                    "complete": evaluation.complete,
                    "audit": audit_line(evaluation.audit),
                }
            )
    if not lines:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def draw_comparison(runs: Runs, path: Path) -> bool:
    """Draws a panel for each attack, if they share one kind of eps.

    Args:
        runs: The evaluations.
        path: Of the PNG.

    Returns:
        Whether there was something to draw.
    """
    panels: dict[str, list[plots.Curve]] = {}
    norms = {stored.evaluation.norm for stored in runs.values()}
    for color, (name, stored) in zip(
        itertools.cycle(plot_style.PALETTE), runs.items(), strict=False
    ):
        for attack, rows in accuracies(stored.evaluation).items():
            curve = plots.Curve(name, color, rows)
            panels.setdefault(attack, []).append(curve)
    worst = panels.pop(WORST, [])
    if worst and several_attacks(panels):
        panels[WORST] = worst
    if not panels or len(norms) > 1:
        return False
    note = "; ".join(
        f"{name}: n = {stored.evaluation.num_images:,}, "
        f"{audit_line(stored.evaluation.audit)}"
        for name, stored in runs.items()
    )
    plot_style.save(
        plots.draw_curves(panels, norm=norms.pop()), path, note=note
    )
    return True


def _table(runs: Runs) -> str:
    cells = _cells(runs)
    columns = _columns(cells)
    titles = [
        f"{attack} {format_eps(eps)} {norm}".strip() if eps else attack
        for attack, norm, eps in columns
    ]
    rows = [
        [
            name,
            stored.evaluation.classifier,
            f"{stored.evaluation.num_images:,}",
            audit_line(stored.evaluation.audit).removeprefix("audit: "),
            *(cells[name].get(column, "") for column in columns),
        ]
        for name, stored in runs.items()
    ]
    return markdown_table(["run", "classifier", "n", "audit", *titles], rows)


def _cells(runs: Runs) -> dict[str, dict[_Column, str]]:
    """Returns each run's accuracies in percent, by column."""
    several = len({stored.evaluation.norm for stored in runs.values()}) > 1
    cells: dict[str, dict[_Column, str]] = {}
    for name, stored in runs.items():
        cells[name] = {}
        for attack, row in named_rows(stored.evaluation):
            norm = stored.evaluation.norm if several and row.eps else ""
            share = f"{100 * row.accuracy:.1f}"
            cells[name][attack, norm, row.eps] = share
    return cells


def _columns(cells: dict[str, dict[_Column, str]]) -> list[_Column]:
    """Returns the columns by attack, the worst case of several at the end."""
    found = dict.fromkeys(itertools.chain(*cells.values()))
    attacks = list(dict.fromkeys(attack for attack, _, _ in found))
    if not several_attacks(attacks):
        found = dict.fromkeys(key for key in found if key[0] != WORST)
    return sorted(
        found,
        key=lambda key: (key[0] == WORST, attacks.index(key[0]), *key[1:]),
    )
