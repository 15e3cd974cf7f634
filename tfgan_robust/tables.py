"""Evaluations as text and as CSV."""

import csv
import dataclasses
import io
from collections.abc import Mapping

from tfgan_robust.attack_plan import CLEAN
from tfgan_robust.evaluation import Evaluation, Result


def format_eps(eps: float) -> str:
    """Returns a radius as people write it: "8/255", or "0.1"."""
    hundredths, levels = eps * 100, eps * 255
    if abs(hundredths - round(hundredths)) < 1e-6:
        return f"{eps:g}"
    if abs(levels - round(levels)) < 1e-6:
        return f"{round(levels)}/255"
    return f"{eps:.4g}"


def format_table(evaluations: Mapping[str, Evaluation]) -> str:
    """Lays evaluations side by side: a row for each classifier and attack.

    Args:
        evaluations: By the name of the classifier; their radii may differ.

    Returns:
        A Markdown table of accuracies in percent.
    """
    radii = sorted(
        {
            result.eps
            for evaluation in evaluations.values()
            for result in evaluation.results
            if result.attack != CLEAN
        }
    )
    header = ["classifier", "attack", "clean", *map(format_eps, radii)]
    rows = [
        row
        for name, evaluation in evaluations.items()
        for row in _rows(name, evaluation, radii)
    ]
    widths = [
        max(map(len, column)) for column in zip(header, *rows, strict=True)
    ]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def describe_conditions(evaluation: Evaluation) -> str:
    """Returns one line on how accuracies were measured."""
    attacked = [r for r in evaluation.results if r.attack != CLEAN]
    first = evaluation.results[0]
    parts = [f"accuracy in % of {first.num_images} images"]
    parts += sorted({_parameters(result) for result in attacked})
    parts.append(f"seed {evaluation.seed}")
    parts.append("XLA" if evaluation.jit_compile else "plain graph")
    if not evaluation.complete:
        parts.append("INCOMPLETE")
    return "; ".join(parts)


def to_csv(evaluation: Evaluation, conditions: Mapping[str, str]) -> str:
    """Returns one line for each accuracy, with all that it depends on.

    Args:
        evaluation: The accuracies.
        conditions: What holds for all of them, such as the device.
    """
    rest = {
        "classifier": evaluation.classifier,
        "seed": evaluation.seed,
        "batch_size": evaluation.batch_size,
        "jit_compile": evaluation.jit_compile,
        **conditions,
    }
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(Result)]
    writer = csv.DictWriter(text, [*fields, *rest], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        dataclasses.asdict(result) | rest for result in evaluation.results
    )
    return text.getvalue()


def _rows(
    name: str, evaluation: Evaluation, radii: list[float]
) -> list[list[str]]:
    found = {(r.attack, r.eps): r.accuracy for r in evaluation.results}
    clean = f"{100 * found[CLEAN, 0.0]:.1f}" if (CLEAN, 0.0) in found else ""
    attacks = dict.fromkeys(a for a, _ in found if a != CLEAN)
    return [
        [
            name,
            attack,
            clean,
            *(
                f"{100 * found[attack, eps]:.1f}"
                if (attack, eps) in found
                else ""
                for eps in radii
            ),
        ]
        for attack in attacks or ["none"]
    ]


def _parameters(result: Result) -> str:
    if result.attack == "fgsm":
        return "fgsm: one step of eps"
    share = result.step_size / result.eps
    start = "random" if result.random_start else "clean"
    return (
        f"{result.attack}: step {share:.3g} eps, {start} start, "
        f"{result.num_restarts} restart"
        f"{'s' if result.num_restarts > 1 else ''}, protocol "
        f"{result.protocol}"
    )
