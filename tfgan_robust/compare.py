"""Lays evaluations side by side: `python -m tfgan_robust.compare`."""

import argparse
import csv
import io
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tfgan_robust import files
from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.reports import plots
from tfgan_robust.reports.comparison import Runs, differences, load, paired
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.reading import accuracies, named_rows
from tfgan_robust.reports.results import WORST
from tfgan_robust.reports.tables import audit_line, markdown_table

USAGE = """
Lays evaluations side by side: accuracies, whether they can be compared, and
whether classifiers differ by more than chance.

  python -m tfgan_robust.compare runs/cifar10-grad_x-0 runs/cifar10-pgd-0
  python -m tfgan_robust.compare R1 R2 R3 --output=comparison
"""


def format_comparison(runs: Runs) -> str:
    """Returns the table, warnings, and paired tests, as Markdown."""
    blocks = [_table(runs)]
    blocks.append(
        "Accuracy in % of n images; in the worst case an image is right if "
        "nothing fooled it at this eps or a smaller one."
    )
    warnings = differences(runs)
    if warnings:
        blocks.append("\n".join(f"- warning: {line}" for line in warnings))
    tests = paired(runs)
    if tests:
        blocks.append(
            "Images that only the first or only the second gets right, over "
            "the attacks that both underwent, and the exact p-value of "
            "McNemar's test, not corrected for their number:"
        )
        blocks.append("\n".join(f"- {line}" for line in tests))
    return "\n\n".join(blocks)


def to_csv(runs: Runs) -> str:
    """Returns one line for each accuracy."""
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for name, stored in runs.items():
        evaluation, dataset = stored.evaluation, stored.conditions.dataset
        for attack, row in named_rows(evaluation):
            line: dict[str, Any] = {
                "run": name,
                "classifier": evaluation.classifier,
                "attack": attack,
                "eps": row.eps,
                "norm": evaluation.norm,
                "protocol": getattr(row, "protocol", ""),
                "num_images": row.num_images,
                "num_correct": row.num_correct,
                "accuracy": row.accuracy,
                "accuracy_low": row.accuracy_low,
                "accuracy_high": row.accuracy_high,
                "dataset": dataset.name,
                "split": dataset.split,
                "seed": evaluation.seed,
                "complete": evaluation.complete,
                "audit": audit_line(evaluation.audit),
            }
            if writer is None:
                writer = csv.DictWriter(text, line, lineterminator="\n")
                writer.writeheader()
            writer.writerow(line)
    return text.getvalue()


def draw(runs: Runs, path: Path) -> bool:
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
        itertools.cycle(plots.PALETTE), runs.items(), strict=False
    ):
        for attack, rows in accuracies(stored.evaluation).items():
            curve = plots.Curve(name, color, rows)
            panels.setdefault(attack, []).append(curve)
    if len(panels) == 2:
        del panels[WORST]
    if WORST in panels:
        panels[WORST] = panels.pop(WORST)
    if not panels or len(norms) > 1:
        return False
    note = "; ".join(
        f"{name}: n = {stored.evaluation.num_images:,}, "
        f"{audit_line(stored.evaluation.audit)}"
        for name, stored in runs.items()
    )
    plots.save(plots.draw_curves(panels, norm=norms.pop()), path, note=note)
    return True


def main() -> None:
    """Runs the command line."""
    try:
        options = _parse(sys.argv[1:])
        runs = load(options.runs)
        text = format_comparison(runs)
        if options.output is not None:
            _write(runs, text, options.output)
        print(text)
    except (TfganRobustError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", TfganRobustError.exit_code))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See --help.")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m tfgan_robust.compare",
        usage="%(prog)s RUN... [--output=DIR]",
        description=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        type=Path,
        help="A folder that holds results.json.",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="Folder for compare.md, compare.csv and compare.png.",
    )
    return parser.parse_args(arguments)


def _write(runs: Runs, text: str, folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"`output` must be a folder. Received: {folder}.")
    folder.mkdir(parents=True, exist_ok=True)
    blocks = ["# Comparison", text]
    if draw(runs, folder / "compare.png"):
        blocks.append("![accuracy over eps](compare.png)")
    else:
        (folder / "compare.png").unlink(missing_ok=True)
    files.write_text(folder / "compare.csv", to_csv(runs))
    files.write_text(folder / "compare.md", "\n\n".join(blocks) + "\n")


def _table(runs: Runs) -> str:
    norms = {stored.evaluation.norm for stored in runs.values()}
    cells: dict[str, dict[tuple[str, str, float], str]] = {}
    for name, stored in runs.items():
        norm = stored.evaluation.norm if len(norms) > 1 else ""
        cells[name] = {
            (
                attack,
                norm if row.eps else "",
                row.eps,
            ): f"{100 * row.accuracy:.1f}"
            for attack, row in named_rows(stored.evaluation)
        }
    found = dict.fromkeys(itertools.chain(*cells.values()))
    attacks = list(dict.fromkeys(attack for attack, _, _ in found))
    # Beside a single attack, the worst case says nothing more.
    alone = len({*attacks} - {CLEAN, WORST}) < 2
    columns = sorted(
        (key for key in found if not (alone and key[0] == WORST)),
        key=lambda key: (key[0] == WORST, attacks.index(key[0]), *key[1:]),
    )
    titles = [
        f"{attack} {format_eps(eps)} {norm}".strip() if eps else attack
        for attack, norm, eps in columns
    ]
    return markdown_table(
        ["run", "classifier", "n", "audit", *titles],
        [
            [
                name,
                stored.evaluation.classifier,
                f"{stored.evaluation.num_images:,}",
                audit_line(stored.evaluation.audit).removeprefix("audit: "),
                *(cells[name].get(key, "") for key in columns),
            ]
            for name, stored in runs.items()
        ],
    )


if __name__ == "__main__":
    main()
