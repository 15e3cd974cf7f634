"""Lays evaluations side by side: `python -m tfgan_robust.compare`."""

import argparse
import csv
import io
import itertools
import os
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tfgan_robust import plots, run_directory
from tfgan_robust.attack_plan import CLEAN
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.radii import format_eps
from tfgan_robust.report import (
    WORST,
    StoredEvaluation,
    accuracies,
    markdown_table,
    named_rows,
    read_evaluation,
    surviving,
)
from tfgan_robust.tables import audit_line

USAGE = """
Lays evaluations side by side: accuracies, whether they can be compared, and
whether classifiers differ by more than chance.

  python -m tfgan_robust.compare runs/cifar10-grad_x-0 runs/cifar10-pgd-0
  python -m tfgan_robust.compare R1 R2 R3 --output=comparison
"""

# What must agree for an attack to be the same attack.
_PARAMETERS = (
    "name", "num_steps", "loss", "num_targets", "step_size", "random_start",
    "num_restarts", "momentum",
)  # fmt: skip
# Evaluations by a name for each.
Runs = Mapping[str, StoredEvaluation]


def load(folders: Sequence[Path]) -> dict[str, StoredEvaluation]:
    """Reads evaluations.

    Args:
        folders: Each of another evaluation.

    Returns:
        They by the ends of their paths, as long as it takes to tell them
        apart.

    Raises:
        UsageError: if a folder is given twice, or holds no evaluation that
            can be read.
    """
    # Not resolved: a link's name is the one that its reader knows.
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"Give each folder once. Received twice: {path}.")
    ends = [
        ["/".join(path.parts[-n:]) for n in range(1, len(path.parts) + 1)]
        for path in paths
    ]
    every = list(itertools.chain(*ends))
    names = [next(e for e in own if every.count(e) == 1) for own in ends]
    return {
        name: read_evaluation(path)
        for name, path in zip(names, paths, strict=True)
    }


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


def differences(runs: Runs) -> list[str]:
    """Returns why accuracies of these evaluations are not comparable."""
    facts: dict[tuple[str, str], dict[str, str]] = {}
    for name, stored in runs.items():
        for fact, place, value in _facts(stored):
            facts.setdefault((fact, place), {})[name] = value
    found: dict[str, list[str]] = {
        f"{name} is INCOMPLETE": []
        for name, stored in runs.items()
        if not stored.evaluation.complete
    }
    for (fact, place), values in facts.items():
        groups: dict[str, list[str]] = {}
        for name, value in values.items():
            groups.setdefault(value, []).append(name)
        if len(groups) > 1:
            told = [f"{v} ({', '.join(names)})" for v, names in groups.items()]
            line = f"{fact} differs: {'; '.join(told)}"
            found.setdefault(line, []).append(place)
    # The same difference at several radii is told once.
    return [
        f"{line}, at {', '.join(places)}" if any(places) else line
        for line, places in found.items()
    ]


def paired(runs: Runs) -> list[str]:
    """Returns for each two evaluations on the same images if they differ."""
    lines = []
    for (a, first), (b, second) in itertools.combinations(runs.items(), 2):
        masks = [stored.evaluation.masks for stored in (first, second)]
        if (
            first.evaluation.norm != second.evaluation.norm
            or not len(first.labels)
            or not np.array_equal(first.labels, second.labels)
        ):
            continue
        common = [key for key in masks[0] if key in masks[1]]
        parts = []
        for eps in sorted({eps for _, eps in common}):
            one, other = (
                surviving({key: of[key] for key in common}, eps) for of in masks
            )
            only = int((one & ~other).sum()), int((other & ~one).sum())
            where = f"{WORST} {format_eps(eps)}" if eps else CLEAN
            parts.append(
                f"{where}: {only[0]} and {only[1]}, p = {mcnemar(*only):.2g}"
            )
        lines.append(f"{a} and {b}: {'; '.join(parts)}")
    return lines


def mcnemar(only_first: int, only_second: int) -> float:
    """Returns the exact two-sided p-value of McNemar's test.

    Args:
        only_first: Images that only the first classifier gets right.
        only_second: Images that only the second one gets right.
    """
    # Takes a second to load.
    from scipy.stats import binomtest

    count = only_first + only_second
    return float(binomtest(only_first, count).pvalue) if count else 1.0


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
    run_directory.write_text(folder / "compare.csv", to_csv(runs))
    run_directory.write_text(folder / "compare.md", "\n\n".join(blocks) + "\n")


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


def _facts(stored: StoredEvaluation) -> Iterator[tuple[str, str, str]]:
    """Yields what must agree, where (an eps, if it has one), and its value."""
    evaluation, dataset = stored.evaluation, stored.conditions.dataset
    attacked = [r for r in evaluation.results if r.attack != CLEAN]
    yield "number of images", "", f"{evaluation.num_images:,}"
    yield "data set", "", f"{dataset.name} from {dataset.source}"
    yield "split", "", dataset.split
    if len(stored.labels):
        digest = zlib.crc32(stored.labels.astype("<i8").tobytes())
        yield "checksum of the labels", "", f"{digest:08x}"
    yield "norm", "", evaluation.norm
    yield "seed", "", str(evaluation.seed)
    yield (
        "list of attacks",
        "",
        ", ".join(dict.fromkeys(r.attack for r in attacked)),
    )
    radii = sorted({r.eps for r in attacked})
    yield "list of eps", "", ", ".join(map(format_eps, radii))
    for result in attacked:
        where = format_eps(result.eps)
        yield f"protocol of {result.attack}", where, result.protocol
        for field in _PARAMETERS:
            values = [getattr(stage, field) for stage in result.stages]
            if field == "step_size":
                values = [f"{value / result.eps:.3g} eps" for value in values]
            told = ", ".join(map(str, values))
            yield f"{field} of {result.attack}", where, told


if __name__ == "__main__":
    main()
