"""What single experiments add to REPORT.md."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments import collapse
from experiments.findings import marks
from experiments.findings.claims.overfitting import explanations
from experiments.findings.evidence import Results, measured, with_seeds
from experiments.findings.intervals import (
    AGREES,
    Measured,
    MissingError,
    contrast,
    difference,
)
from experiments.findings.reasons import reasons
from experiments.findings.tables import conditions, flags, settings
from experiments.harness.experiment import (
    Row,
    accuracy,
    attacks_in,
    radii_in,
)
from tfgan_robust.files import read_json_object
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.tables import markdown_table
from tfgan_robust.training.alarms import FALLEN, has_fallen


def added(name: str, results: Results, folder: Path) -> Iterator[str]:
    """Yields the paragraphs that only one experiment has.

    Args:
        name: The experiment.
        results: What all published, with its own.
        folder: Of the results.
    """
    yield from _ADDED.get(name, lambda *_: iter(()))(results, folder)


def beside_table_2(results: Results, name: str) -> Iterator[str]:
    """Yields the paper's Table 2 beside the long run at the same epoch."""
    rows = results[name]["rows"]
    at = f"epoch-{marks.STATED['table 2 after epochs']}"
    lines = [
        (
            row["trial"], at, attack, f"{eps}/255",
            f"{paper:.2f}", f"{ours:.2f}", f"{ours - paper:+.2f}",
        )
        for row in rows
        if row["trial"].startswith("epochs/") and row["checkpoint"] == at
        for attack, said in marks.STATED["table 2"].items()
        for eps, paper in said.items()
        if (ours := accuracy(row, attack, float(eps) / 255)) is not None
    ]  # fmt: skip
    if lines and marks.applies(rows):
        yield "Beside the paper's Table 2, grad x2:\n\n" + markdown_table(
            (
                "trial", "checkpoint", "attack", "radius", "paper", "here",
                "difference",
            ),
            lines,
        )  # fmt: skip


def overfitting(results: Results, _: Path) -> Iterator[str]:
    """Yields which ablation explains the gap of training and test images."""
    found = explanations(results)
    if not found:
        yield (
            "What explains overfitting is not answered: the base learned "
            "nothing, or was not measured."
        )
        return
    yield (
        "By how much training images are classified better than test images: "
        "the gap on clean images in inference mode, in points, with its "
        "interval; the intervals of its changes hold together at 95 %:"
    )
    yield markdown_table(
        (
            "variant", "clean training images, %", "clean test images, %",
            "gap", "change", "the gap is",
        ),
        [
            (
                each.variant, f"{each.training.mean:.1f}",
                f"{each.test.mean:.1f}", str(each.gap),
                "" if each.change is None else str(each.change),
                each.verdict,
            )
            for each in found
        ],
    )  # fmt: skip


def directions(results: Results, _: Path) -> Iterator[str]:
    """Yields how far one can go along each direction."""
    stored = dict(results["directions"])
    found = stored["directions"]
    columns = list(next(iter(found.values())))
    yield conditions([stored])
    yield (
        "Images that are correct while clean, perturbations of radius "
        f"{format_eps(stored['eps'])}, of the first of its generators, lengths "
        f"up to {format_eps(stored['length'])}:"
    )
    yield markdown_table(
        ("direction", *columns),
        [
            (name, *(_number(each[column]) for column in columns))
            for name, each in found.items()
        ],
    )
    yield f"Trained with `{flags(settings(stored))}`."


def equal_time(_: Results, folder: Path) -> Iterator[str]:
    """Yields how it was found which trainings last equally long."""
    file = folder / "costs.json"
    if file.is_file():
        found = read_json_object(file)
        yield (
            "How many epochs of each method cost equal time was found from the "
            f"shortest of several steps of each: {found['device']}, "
            f"{found['precision']}, {found['date']}. How long each training "
            "took by the clock depends on what else its machine did."
        )


def compared_in_equal_time(results: Results, folder: Path) -> Iterator[str]:
    """Yields what `efficiency` adds."""
    yield from equal_time(results, folder)
    yield from pairs(results, folder)


def pairs(_: Results, folder: Path) -> Iterator[str]:
    """Yields how each method compares with the best of its time and seed."""
    file = folder / "efficiency_paired.csv"
    if not file.is_file():
        return
    with file.open(newline="", encoding="utf-8") as opened:
        lines = list(csv.DictReader(opened))
    count = len(lines)
    yield (
        "Images that only a method, or only the best of its time and seed, "
        "gets correct under the last attack, and the p-value of McNemar's "
        f"test, as it is and times the {count} tests (Bonferroni). It says "
        "whether these two networks differ; another seed gives other ones."
    )
    yield markdown_table(
        (*lines[0], "p for all"),
        [
            (
                *(
                    f"{float(value):.2g}" if name == "p" else value
                    for name, value in line.items()
                ),
                f"{min(1.0, count * float(line['p'])):.2g}",
            )
            for line in lines
        ],
    )


def collapses(results: Results, folder: Path) -> Iterator[str]:
    """Yields who collapsed, and what the alarms had said."""
    yield from equal_time(results, folder)
    stored = with_seeds(results, "collapse")
    lines = [
        line
        for row in stored["rows"]
        if row["checkpoint"] == "last"
        and (line := _collapse(row, stored)) is not None
    ]
    if lines:
        yield (
            "Accuracy of validation images, in %: under PGD while training, "
            "the best, the lowest after it and the last, at their epochs, and "
            "under the attack that "
            "decides, of the networks kept as best and last, with the interval "
            "of their difference. A fall is to less than "
            f"{FALLEN:.0%} of the best, by more than chance; alarms are "
            f"{' and '.join(collapse.ALARMS)}:"
        )
        yield markdown_table(
            (
                "variant", "seed", "epochs", "best PGD", "lowest PGD after",
                "last PGD", "attack",
                "best", "last", "last less best", "alarms", "first alarm",
                "alarms and falls",
            ),
            lines,
        )  # fmt: skip


def _collapse(row: Row, stored: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Returns a line on one training; None if less of it was measured."""
    attack, eps = attacks_in([row])[-1], 255 * radii_in([row])[-1]
    try:
        best, last = (
            measured(
                stored, attack, eps,
                variant=row["variant"], seed=row["seed"], checkpoint=name,
            )
            for name in collapse.CHECKPOINTS
        )  # fmt: skip
    except MissingError:
        return None
    found = row["history"]
    fallen = contrast([(1.0, last), (-FALLEN, best)]).within(high=0.0)
    pgd = found["pgd"]
    top = max(range(len(pgd)), key=pgd.__getitem__)
    low = min(range(top, len(pgd)), key=pgd.__getitem__)
    came_back = has_fallen(pgd[top], pgd[low], row["resolved"]["eval_images"])
    alarms = found["alarms"]
    return (
        row["variant"], str(row["seed"]), str(row["epochs"]),
        *(
            f"{100 * pgd[each]:.1f} at {found['at'][each]}"
            for each in (top, low, -1)
        ),
        f"{attack} {eps:g}/255", f"{best.mean:.1f}", f"{last.mean:.1f}",
        str(difference(last, best)), str(len(alarms)),
        f"{alarms[0][0]}: {alarms[0][1]}" if alarms else "none",
        _warned(best, fallen == AGREES, came_back, bool(alarms)),
    )  # fmt: skip


def _warned(
    best: Measured, fallen: bool, came_back: bool, alarmed: bool
) -> str:
    """Whether alarms say of a collapse, and of nothing else.

    Args:
        best: What the best network leaves.
        fallen: Whether the last network is less robust than the best was.
        came_back: Whether one in between was, if the last is not.
        alarmed: Whether there was an alarm.
    """
    said = "and alarms" if alarmed else "without an alarm"
    if best.chance is not None and not best.is_above_chance:
        return f"never above a constant answer's {best.chance:g} %, {said}"
    if fallen:
        return "a fall, and alarms" if alarmed else "a fall without an alarm"
    if came_back:
        return f"a fall from which it came back, {said}"
    return "an alarm without a fall" if alarmed else "neither"


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g}"


_ADDED: Mapping[str, Callable[[Results, Path], Iterator[str]]] = {
    "formulations": reasons,
    "epochs": lambda results, _: beside_table_2(results, "epochs"),
    "pgd_iterations": lambda results, _: beside_table_2(
        results, "pgd_iterations"
    ),
    "ablations": overfitting,
    "directions": directions,
    "efficiency": compared_in_equal_time,
    "architectures": equal_time,
    "collapse": collapses,
}
