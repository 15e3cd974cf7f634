"""Why formulations withstand PGD, or do not, as their trainings tell."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.findings.claims.formulations import DEFENDED, formulation
from experiments.findings.comparisons import compare
from experiments.findings.evidence import Results, with_seeds
from experiments.findings.intervals import MissingError
from experiments.findings.tables import settings
from experiments.harness.experiment import Row, accuracy, entry
from tfgan_robust.reports.tables import markdown_table
from tfgan_robust.training.alarms import MODE_GAP

# A generator that fools fewer than this share of what FGSM fools is weak.
_WEAK = 0.8
# Below this share of the accuracy under FGSM, PGD is another matter.
_MANY = 0.5


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
        "how many of a batch's validation images that are correct while clean "
        "FGSM and the strongest generator fool at the radius of training (a "
        "few dozen images, so that some points mean nothing), and the accuracy "
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
            "step begins, so that nothing here says which of these matters: "
            f"{changed}."
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


def _percent(value: float | None, scale: float) -> str:
    return "" if value is None else f"{scale * value:.1f}"
