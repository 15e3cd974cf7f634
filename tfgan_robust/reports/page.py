"""A page for people on an evaluation, from the files in its folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfgan_robust import files
from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.reports import plot_style
from tfgan_robust.reports.breakdown import (
    confusion,
    named_rows,
    shares_by_class,
)
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.page_figures import draw_figures
from tfgan_robust.reports.plots import MAX_PAIRED
from tfgan_robust.reports.reading import (
    UNPROVED,
    StoredEvaluation,
    read_evaluation,
)
from tfgan_robust.reports.results import Evaluation, StageResult
from tfgan_robust.reports.stage_settings import describe
from tfgan_robust.reports.tables import (
    INTERRUPTED,
    JUDGED_BY,
    NORMS,
    audit_line,
    escape,
    format_norm,
    format_share,
    gaps_in,
    markdown_table,
)
from tfgan_robust.reports.verdicts import cost_line

_FIGURES = ("accuracy", "classes", "confusion", "smallest")


def write_report(folder: Path) -> list[Path]:
    """Writes evaluation.md, and its figures in evaluation/.

    Args:
        folder: Of an evaluation.

    Returns:
        What was written, the page first.

    Raises:
        UsageError: as `read_evaluation`.
    """
    stored = read_evaluation(folder)
    figures = draw_figures(stored)
    images = folder / "evaluation"
    images.mkdir(exist_ok=True)
    for name in _FIGURES:
        path = images / f"{name}.png"
        if name in figures:
            plot_style.save(figures[name], path, note=_note(stored.evaluation))
        else:
            path.unlink(missing_ok=True)
    blocks = []
    for name, section in _sections(stored).items():
        blocks += section
        if name in figures:
            blocks.append(f"![{name}](evaluation/{name}.png)")
    page = folder / "evaluation.md"
    files.write_text(page, "\n\n".join(blocks) + "\n")
    return [page, *(images / f"{name}.png" for name in figures)]


def _sections(stored: StoredEvaluation) -> dict[str, list[str]]:
    """Returns the blocks of the page, by the figure that closes them."""
    evaluation = stored.evaluation
    head = [f"# Evaluation of {escape(evaluation.classifier)}"]
    head += [f"**NOTE**: {escape(n)}." for n in gaps_in(evaluation.audit)]
    if not evaluation.complete:
        head.append(INTERRUPTED)
    head += [f"**NOTE**: {escape(note)}." for note in evaluation.notes]
    if stored.conditions.identity is None:
        head.append(f"**NOTE**: {UNPROVED}.")
    sections = {
        "head": [*head, "## Threat model", _threat_model(stored)],
        "accuracy": ["## Accuracy", *_accuracy(evaluation)],
        "audit": ["## Audit", *_audit(evaluation)],
        "attacks": ["## Attacks", *_attacks(evaluation)],
    }
    if evaluation.pointwise and len(stored.labels):
        sections["classes"] = ["## Classes", *_classes(stored)]
        sections["confusion"] = ["## Confusion", *_confusion(stored)]
    if len(stored.smallest.get("index", ())):
        sections["smallest"] = ["## Smallest perturbations", *_smallest(stored)]
    return sections


def _threat_model(stored: StoredEvaluation) -> str:
    evaluation, conditions = stored.evaluation, stored.conditions
    dataset = conditions.dataset
    attacked = [r for r in evaluation.results if r.attack != CLEAN]
    radii = [format_eps(eps) for eps in sorted({r.eps for r in attacked})]
    protocols = dict.fromkeys(JUDGED_BY[r.protocol] for r in attacked)
    versions = [f"{name} {v}" for name, v in conditions.versions.items()]
    rows = {
        "norm": NORMS[evaluation.norm],
        "eps": ", ".join(radii) or "none",
        "protocol": "; ".join(protocols) or "none",
        "images": stored.conditions.dataset.draw
        or f"the first {evaluation.num_images:,}",
        "split": f"{dataset.split} of {dataset.name} ({dataset.source})",
        "seed": str(evaluation.seed),
        "batch size": str(evaluation.batch_size),
        "XLA": "yes" if evaluation.jit_compile else "no",
        "device": conditions.device,
        "versions": ", ".join(versions),
        "date": conditions.date,
    }
    return markdown_table(("what", "value"), rows.items())


def _accuracy(evaluation: Evaluation) -> list[str]:
    cells = {
        (name, row.eps): format_share(row)
        for name, row in named_rows(evaluation)
    }
    radii = sorted({eps for _, eps in cells})
    count = f"{evaluation.num_images:,}"
    table = markdown_table(
        ("attack", *(f"eps {format_eps(eps)}" for eps in radii), "n"),
        [
            [name, *(cells.get((name, eps), "") for eps in radii), count]
            for name in dict.fromkeys(name for name, _ in cells)
        ],
    )
    shares = [
        r.largest_perturbation / r.eps for r in evaluation.results if r.eps
    ]
    return [
        escape(audit_line(evaluation.audit)),
        table,
        "In % of n images, with 95 % Wilson intervals. In the worst case, an "
        "image is correct if nothing fooled it at this eps or a smaller one. "
        f"The largest perturbation was {max(shares, default=0):.4f} eps.",
    ]


def _audit(evaluation: Evaluation) -> list[str]:
    checks = evaluation.audit
    blocks = [escape(audit_line(checks))]
    if checks is None:
        return [*blocks, "Nothing says whether these attacks do what they can."]
    if evaluation.norm != "linf":
        blocks.append("Audits attack in the L-infinity ball.")
    cost = [f"{line[0].upper()}{line[1:]}." for line in cost_line(checks)]
    columns = {
        "check": [c.check for c in checks],
        "verdict": [c.verdict for c in checks],
        "finding": [c.message for c in checks],
        "figures": [_figures_of(c.figures) for c in checks],
    }
    # Earlier versions did not count them.
    if cost:
        columns["forward"] = [f"{c.forward_passes:.1f}" for c in checks]
        columns["backward"] = [f"{c.backward_passes:.1f}" for c in checks]
    rows = list(zip(*columns.values(), strict=True))
    return [*blocks, markdown_table(list(columns), rows), *cost]


def _attacks(evaluation: Evaluation) -> list[str]:
    header = (
        "attack", "eps", "stage", "settings", "images", "left", "forward",
        "backward", "time",
    )  # fmt: skip
    rows = [
        (result.attack, format_eps(result.eps), *_stage(stage, result.eps))
        for result in evaluation.results
        for stage in result.stages
    ]
    return [
        markdown_table(header, rows),
        "Stages run one after another, each on the images that those before it "
        "left; forward and backward are mean passes for each of these images.",
    ]


def _stage(stage: StageResult, eps: float) -> tuple[str, ...]:
    return (
        stage.name,
        describe(stage.settings, eps),
        f"{stage.num_images:,}",
        f"{stage.num_correct:,}",
        f"{stage.forward_passes:.1f}",
        f"{stage.backward_passes:.1f}",
        f"{stage.seconds:.1f} s",
    )


def _classes(stored: StoredEvaluation) -> list[str]:
    names, series = stored.class_names, shares_by_class(stored)
    sizes = np.bincount(stored.labels, minlength=len(names))
    columns = [
        ["" if share is None else _percent(*share) for share in shares]
        for shares in series.values()
    ]
    rows = zip(names, map(str, sizes), *columns, strict=True)
    return [
        escape(audit_line(stored.evaluation.audit)),
        markdown_table(("class", "n", *series), rows),
    ]


def _confusion(stored: StoredEvaluation) -> list[str]:
    counts, names, attack = confusion(stored)
    caption = f"Under {attack}, the strongest attack there."
    if len(names) <= MAX_PAIRED:
        caption += " Rows: the class; columns: what its images are taken for."
        header = ["class", *names]
        rows = [
            [name, *map(str, row)]
            for name, row in zip(names, counts, strict=False)
        ]
    else:
        caption += f" The {MAX_PAIRED} most frequent confusions."
        header = ["class", "taken for", "images"]
        wrong = counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_PAIRED]
        pairs = np.transpose(np.unravel_index(order, wrong.shape))
        rows = [
            [names[i], names[j], str(wrong[i, j])]
            for i, j in pairs
            if wrong[i, j]
        ]
    audit = escape(audit_line(stored.evaluation.audit))
    return [audit, escape(caption), markdown_table(header, rows)]


def _smallest(stored: StoredEvaluation) -> list[str]:
    names, arrays = stored.class_names, stored.smallest
    header = ("image", "class", "taken for", "attack", "norm")
    columns = (
        map(str, arrays["index"]),
        (names[label] for label in arrays["label"]),
        stored.predicted_names(arrays["predicted"]),
        arrays["attack"],
        (format_norm(stored.evaluation, norm) for norm in arrays["norm"]),
    )
    return [
        "The images that the smallest perturbations fool, of those that are "
        "correct while clean. What an attack found was shortened, towards the "
        "clean image, as far as it still fools; accuracies do not count that.",
        markdown_table(header, zip(*columns, strict=True)),
    ]


def _note(evaluation: Evaluation) -> str:
    state = "" if evaluation.complete else "INCOMPLETE; "
    return (
        f"{state}n = {evaluation.num_images:,}; {audit_line(evaluation.audit)}"
    )


def _percent(accuracy: float, low: float, high: float) -> str:
    return f"{100 * accuracy:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def _figures_of(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
