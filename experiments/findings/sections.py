"""What single experiments add to REPORT.md."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.findings import marks
from experiments.findings.claims.formulations import DEFENDED, formulation
from experiments.findings.claims.overfitting import explanations
from experiments.findings.comparisons import compare
from experiments.findings.evidence import Results, with_seeds
from experiments.findings.intervals import MissingError
from experiments.findings.tables import conditions, flags, settings
from experiments.harness.experiment import Row, accuracy, entry
from tfgan_robust.files import read_json_object
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.tables import markdown_table
from tfgan_robust.training.alarms import (
    FALLEN,
    MODE_GAP,
    fgsm_rises_while_pgd_falls,
    pgd_collapses,
)

# A generator that fools fewer than this share of what FGSM fools is weak.
_WEAK = 0.8
# Below this share of the accuracy under FGSM, PGD is another matter.
_MANY = 0.5
# The alarms that say of a collapse, by name.
_OF_COLLAPSE = [
    alarm.__name__ for alarm in (fgsm_rises_while_pgd_falls, pgd_collapses)
]


def added(name: str, results: Results, folder: Path) -> Iterator[str]:
    """Yields the paragraphs that only one experiment has.

    Args:
        name: The experiment.
        results: What all published, with its own.
        folder: Of the results.
    """
    yield from _ADDED.get(name, lambda *_: iter(()))(results, folder)


def reasons(results: Results, _: Path) -> Iterator[str]:
    """Yields why formulations withstand PGD, or do not."""
    rows = sorted(
        (r for r in results["formulations"]["rows"] if r["split"] == "test"),
        key=lambda row: (
            ("baseline", *DEFENDED).index(row["formulation"]),
            row["settings by"] != "paper",
        ),
    )
    yield (
        "What the trainings themselves say of it, at their last measurement: "
        "how many of the images that are correct while clean FGSM and the "
        "strongest generator fool at the radius of training, and the accuracy "
        "of the same clean training images in both modes of the classifier "
        "(of test images in inference mode: overfitting is the difference), "
        "in %."
    )
    yield markdown_table(
        (
            "trial", "PGD-100, 8/255", "FGSM fools", "a generator fools",
            "training mode", "inference mode", "test", "alarms",
            "sign of a reason",
        ),
        [
            (
                row["trial"],
                _percent(accuracy(row, "pgd-100", 8 / 255), 1),
                *(_percent(figure, 100) for figure in health(row)),
                _percent(accuracy(row, "clean"), 1),
                ", ".join(
                    dict.fromkeys(a["name"] for a in row.get("alarms", ()))
                ),
                "; ".join(signs(row)),
            )
            for row in rows
        ],
    )  # fmt: skip
    changed = differences([r for r in rows if r["formulation"] in DEFENDED])
    if changed:
        yield (
            "The settings by us differ from the paper's in more than where a "
            "step begins, so that nothing here says which of these matters "
            f"(`experiments.ablations` does): {changed}."
        )


def health(row: Row) -> tuple[float | None, ...]:
    """Returns four of a row's figures on its training, as shares of 1.

    Successes of FGSM and of the strongest generator, accuracies in training
    and in inference mode.
    """
    found: Mapping[str, float] = row.get("health", {})
    generators = [
        value
        for name, value in found.items()
        if name.startswith("generator_") and name.endswith("_success")
    ]
    return (
        found.get("fgsm_success"),
        max(generators, default=None),
        found.get("train_mode_accuracy"),
        found.get("inference_mode_accuracy"),
    )


def signs(row: Row) -> Iterator[str]:
    """Yields what may explain the robustness that a row has or lacks."""
    clean = entry(row, "clean")
    if clean and "classes" in row and clean["low"] <= 1 / row["classes"]:
        yield "it learned nothing"
    fgsm, generator, training, inference = health(row)
    if row.get("resolved", {}).get("method") == "start":
        # What it says is where a step begins, not where that leads.
        generator = None
    if None not in (training, inference) and (
        abs((training or 0) - (inference or 0)) > MODE_GAP
    ):
        yield "its modes disagree: the averages of batch normalisation"
    if fgsm and generator is not None and generator < _WEAK * fgsm:
        yield "its generators are weaker than FGSM"
    one, many = (entry(row, a, 8 / 255) for a in ("fgsm", "pgd-100"))
    if (
        one and many and "classes" in row
        and one["low"] > 1 / row["classes"]
        and many["accuracy"] < _MANY * one["accuracy"]
    ):  # fmt: skip
        yield "it withstands one step and not many"


def differences(rows: Sequence[Row]) -> str:
    """Returns in what the settings by us differ from the paper's."""
    kinds: dict[str, dict[str, str]] = {}
    for row in rows:
        kinds.setdefault(row["settings by"], settings(row))
    if len(kinds) < 2:
        return ""
    paper, ours = kinds["paper"], kinds["ours"]
    return ", ".join(
        f"{name} {paper.get(name, 'none')} and {ours.get(name, 'none')}"
        for name in sorted({*paper, *ours})
        if paper.get(name) != ours.get(name) and name != "formulation"
    )


def withstanding(results: Results) -> Iterator[tuple[str, bool | None]]:
    """Yields whether each formulation of the paper withstands PGD at 8/255.

    None where that was not measured.
    """
    stored: Mapping[str, Any] = {"rows": []}
    if "formulations" in results:
        stored = with_seeds(results, "formulations")
    for name in DEFENDED:
        try:
            found = formulation(stored, name, "pgd-100", 8)
            base = formulation(stored, "baseline", "pgd-100", 8)
            yield name, found.is_above_chance and compare(found, base) == 1
        except MissingError:
            yield name, None


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
    yield (
        "Does one of these explain why training images are classified so much "
        "better than test images? Gap on clean images in inference mode, in "
        "points, with its interval; whether it changes is tested for all of "
        "them together at 95 %:"
    )
    yield markdown_table(
        ("variant", "clean test images, %", "gap", "change", "the gap is"),
        [
            (
                each.variant, f"{each.test.mean:.1f}", str(each.gap),
                "" if each.change is None else str(each.change),
                each.verdict,
            )
            for each in explanations(results)
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
    """Yields who collapsed, when, and what the alarms said."""
    yield from equal_time(results, folder)
    lines = []
    for row in results["collapse"]["rows"]:
        found = row.get("history")
        if not found:
            continue
        pgd = [100 * each for each in found["pgd"]]
        best = max(range(len(pgd)), key=pgd.__getitem__)
        fallen = found["fallen"]
        given = [each for each in found["alarms"] if each[1] in _OF_COLLAPSE]
        alarms = [f"{epoch}: {name}" for epoch, name in given]
        lines.append(
            (
                row["variant"], str(row["seed"]), str(row["epochs"]),
                f"{pgd[best]:.1f} at {found['at'][best]}",
                f"{pgd[-1]:.1f} at {found['at'][-1]}",
                str(fallen[0]) if fallen else "never",
                alarms[0] if alarms else "none",
                str(len(alarms)),
                _warned(fallen, given),
            )
        )  # fmt: skip
    if lines:
        yield (
            "Accuracy of validation images under PGD while training, in %, at "
            f"its epoch; fallen is below {FALLEN:.0%} of the best so far, by "
            f"more than chance, and alarms are {' and '.join(_OF_COLLAPSE)}:"
        )
        yield markdown_table(
            (
                "variant", "seed", "epochs", "best", "last", "first fallen",
                "first alarm", "alarms", "alarms and falls",
            ),
            lines,
        )  # fmt: skip


def _warned(fallen: Sequence[int], alarms: Sequence[Sequence[Any]]) -> str:
    """Whether alarms say of a collapse, and of nothing else."""
    if not fallen:
        return "an alarm without a fall" if alarms else "neither"
    if not alarms:
        return "a fall without an alarm"
    distance = int(alarms[0][0]) - fallen[0]
    if not distance:
        return "an alarm with the fall"
    plural = "s" if abs(distance) > 1 else ""
    side = "after" if distance > 0 else "before"
    return f"an alarm {abs(distance)} epoch{plural} {side} the fall"


def _percent(value: float | None, scale: float) -> str:
    return "" if value is None else f"{scale * value:.1f}"


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
