"""Which input of the generators defends? Section 4.1, Figure 3.

The paper's four formulations with its settings, an undefended baseline, and
the same four inputs where generators say where a gradient step begins. The
baseline comes first, which tells whether a network of this width learns at
all.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.findings import marks
from experiments.harness.command import main
from experiments.harness.experiment import (
    Experiment,
    Row,
    accuracy,
    attacks_in,
    on_test_images,
    on_training_images,
    radii_in,
    sweeping,
)
from experiments.harness.options import Preset, Section
from experiments.harness.study import Study, Trial
from tfgan_robust.attacks.formulations import FORMULATIONS
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.plot_style import GREY, PALETTE

BASELINE = "baseline"
COLORS = {
    BASELINE: GREY,
    **dict(zip(FORMULATIONS, PALETTE, strict=False)),
}
MARKERS = dict(zip(COLORS, "osd^v", strict=False))
# By whose settings, with how they are drawn.
SETTINGS = {"paper": "the paper's settings", "ours": "a learned start"}


def trials(preset: Preset, _: Study) -> list[Trial]:
    """Returns baseline and formulations, under both kinds of settings."""
    section = preset.section(NAME)
    measurements = (*on_test_images(section), on_training_images(section))
    return [
        Trial(
            f"{NAME}/{formulation}-{kind}-{seed}",
            {**section.training, **changes, "seed": seed},
            measurements,
            {"formulation": formulation, "settings by": kind},
        )
        for formulation, kind, changes in _variants(section)
        for seed in section["seeds"]
    ]


def _variants(section: Section) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields formulations, by whose settings, and what they change."""
    yield BASELINE, "paper", {"method": "natural"}
    for kind, changes, formulations in (
        ("ours", section["ours"], ("x",)),
        ("paper", section["generators"], ("grad_x", "x", "grad", "xz")),
        ("ours", section["ours"], ("grad_x", "grad", "xz")),
    ):
        for formulation in formulations:
            yield formulation, kind, {**changes, "formulation": formulation}


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws accuracy over the radius, a panel for each attack and settings."""
    rows = [row for row in rows if row["split"] == "test"]
    attacks, radii = sweeping(rows), [0.0, *radii_in(rows)]
    others = [name for name in attacks_in(rows) if name not in attacks]
    figure = Figure(figsize=(3.3 * len(attacks), 6.2), layout="constrained")
    panels = figure.subplots(
        len(SETTINGS), len(attacks), sharex=True, sharey=True, squeeze=False
    )
    for line, (kind, words) in zip(panels, SETTINGS.items(), strict=True):
        for panel, attack in zip(line, attacks, strict=True):
            panel.set_title(f"{attack}, {words}{_told(kind, rows)}", fontsize=8)
            for row in rows:
                name = row["formulation"]
                if name == BASELINE or row["settings by"] == kind:
                    measured = [
                        accuracy(row, attack if eps else "clean", eps)
                        for eps in radii
                    ]
                    panel.plot(
                        [255 * eps for eps in radii],
                        measured,
                        marker=MARKERS[name],
                        markersize=4,
                        color=COLORS[name],
                        label=name if row["seed"] == rows[0]["seed"] else None,
                        clip_on=False,
                    )
                    if panel is line[-1]:
                        _points(panel, row, others)
            stated = attack == "pgd-100" and kind == "paper"
            if stated and marks.applies(rows):
                marks.draw_pgd(panel)
                panel.legend(handles=panel.lines[-1:], fontsize=7)
            panel.set_ylim(0, 100)
            panel.grid(axis="y")
        line[0].set_ylabel("accuracy, %")
        title = f"hollow: {', '.join(others)}" if others else None
        line[-1].legend(fontsize=7, title=title, title_fontsize=7)
    for panel in panels[-1]:
        panel.set_xlabel("radius, 1/255")
        panel.set_xticks([round(255 * eps) for eps in radii])
    return figure


def _told(kind: str, rows: Sequence[Row]) -> str:
    """Returns how those with generators were trained, by whose settings."""
    for row in rows:
        if row["settings by"] == kind and row["formulation"] != BASELINE:
            radius = format_eps(row["resolved"]["eps"])
            return f"\n{row['epochs']} epochs at radius {radius}"
    return ""


def _points(panel: Axes, row: Row, attacks: Sequence[str]) -> None:
    """Draws attacks that were not measured at all radii as hollow marks."""
    name = row["formulation"]
    for each in row["accuracy"]:
        if each["attack"] in attacks:
            panel.plot(
                255 * each["eps"], 100 * each["accuracy"],
                marker=MARKERS[name], markersize=8, fillstyle="none",
                color=COLORS[name], clip_on=False,
            )  # fmt: skip


NAME = "formulations"
EXPERIMENT = Experiment(
    NAME, "Formulations of the generators' input", "4.1, Figure 3",
    trials, draw,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
