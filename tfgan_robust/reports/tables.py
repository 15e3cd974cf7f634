"""Evaluations as Markdown tables, as text and as CSV."""

import csv
import dataclasses
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.reports.breakdown import several_attacks
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.results import (
    STORED,
    WORST,
    Evaluation,
    Pointwise,
    Result,
    StageResult,
)
from tfgan_robust.reports.stage_settings import describe
from tfgan_robust.reports.verdicts import (
    NOT_CHECKED,
    PASS,
    Check,
    format_audit,
)

# What a radius is measured in.
NORMS = {"linf": "L-infinity, on the [0, 1] pixel scale", "l2": "Euclidean"}
# By protocol: what a verdict counts.
JUDGED_BY = {
    "worst": "worst (an image is correct if it is so while clean and at every "
    "point that the attack tried)",
    "final": "final (the last iterate of each run decides alone)",
}
INTERRUPTED = (
    "**INCOMPLETE**: this evaluation was interrupted. Attacks that had not "
    "come to their end are missing."
)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table, aligned for those who read it as text."""
    lines = [[escape(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines
    )


def escape(text: str) -> str:
    """Keeps what a name holds from being Markdown, or more than a line."""
    return re.sub(r"([\\|`*<]|(?<=\])\()", r"\\\1", " ".join(text.split()))


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
    return markdown_table(header, rows)


def format_report(evaluations: Mapping[str, Evaluation]) -> str:
    """Returns the table, how it was measured, and each audit.

    Args:
        evaluations: By the name of the classifier.
    """
    named = {
        f"{name}: " if len(evaluations) > 1 else "": evaluation
        for name, evaluation in evaluations.items()
    }
    # Before any figure that they leave in doubt.
    lines = [
        f"{prefix}NOTE: {note}"
        for prefix, evaluation in named.items()
        for note in gaps_in(evaluation.audit)
    ]
    lines.append(format_table(evaluations))
    lines += dict.fromkeys(describe_conditions(e) for e in evaluations.values())
    for prefix, evaluation in named.items():
        lines += [f"{prefix}NOTE: {note}" for note in evaluation.notes]
        lines.append(prefix + audit_line(evaluation.audit))
    return "\n".join(lines)


def gaps_in(checks: Sequence[Check] | None) -> list[str]:
    """Returns a line that names what an audit could not check, if any."""
    names = [check.check for check in checks or () if not check.was_made]
    return [f"the audit did not check {', '.join(names)}"] if names else []


def describe_conditions(evaluation: Evaluation) -> str:
    """Returns one line on how accuracies were measured."""
    attacked = [r for r in evaluation.results if r.attack != CLEAN]
    parts = [f"accuracy in % of {evaluation.num_images} images"]
    parts += list(dict.fromkeys(_parameters(result) for result in attacked))
    if evaluation.norm != "linf":
        parts.append("Euclidean radii")
    parts.append(f"seed {evaluation.seed}")
    parts.append("XLA" if evaluation.jit_compile else "plain graph")
    if not evaluation.complete:
        parts.append("INCOMPLETE")
    return "; ".join(parts)


def audit_line(checks: Sequence[Check] | None) -> str:
    """Returns an audit in one line: the verdict, and what did not pass.

    What nobody could check stands apart from what was found.
    """
    if checks is None:
        return "audit: not run"
    heading = format_audit(checks).splitlines()[0]
    parts = [
        ", ".join(c.check for c in checks if c.was_made and c.verdict != PASS),
        ", ".join(check.check for check in checks if not check.was_made),
    ]
    if parts[1]:
        parts[1] = f"{NOT_CHECKED} {parts[1]}"
    listed = "; ".join(filter(None, parts))
    return f"{heading}: {listed}" if listed else heading


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
        "audit": audit_line(evaluation.audit),
        **conditions,
    }
    text = io.StringIO()
    fields = [f.name for f in dataclasses.fields(Result) if f.name != "stages"]
    writer = csv.DictWriter(
        text, [*fields, "parameters", *rest], lineterminator="\n"
    )
    writer.writeheader()
    for result in evaluation.results:
        row = {name: getattr(result, name) for name in fields}
        parameters = "" if result.attack == CLEAN else _parameters(result)
        writer.writerow(row | {"parameters": parameters} | rest)
    return text.getvalue()


def format_share(found: Result | Pointwise) -> str:
    """Writes an accuracy in percent, with the ends of its interval."""
    low, high = 100 * found.accuracy_low, 100 * found.accuracy_high
    return f"{100 * found.accuracy:.1f} ({low:.1f}-{high:.1f})"


def format_norm(evaluation: Evaluation, norm: float) -> str:
    """Writes the norm of a perturbation in the manner of the radii."""
    in_levels = any("/" in format_eps(r.eps) for r in evaluation.results)
    return f"{255 * norm:.2f}/255" if in_levels else f"{norm:.4f}"


def _rows(
    name: str, evaluation: Evaluation, radii: list[float]
) -> list[list[str]]:
    found = {(r.attack, r.eps): r.accuracy for r in evaluation.results}
    clean = f"{100 * found[CLEAN, 0.0]:.1f}" if (CLEAN, 0.0) in found else ""
    attacks = list(dict.fromkeys(a for a, _ in found if a != CLEAN))
    if several_attacks(attacks):
        together = {p.eps: p.accuracy for p in evaluation.pointwise}
        found |= {(WORST, eps): share for eps, share in together.items()}
        attacks.append(WORST)
    if evaluation.stored:
        found |= {(STORED, row.eps): row.accuracy for row in evaluation.stored}
        attacks.append(STORED)
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
    """One line on an attack: what a reader needs to repeat it."""
    stages = "; ".join(_stage(stage, result.eps) for stage in result.stages)
    if len(result.stages) > 1:
        stages = f"{result.attack}: {stages}"
    return f"{stages}, protocol {result.protocol}"


def _stage(stage: StageResult, eps: float) -> str:
    settings = describe(stage.settings, eps)
    return f"{stage.name}: {settings}" if settings else stage.name
