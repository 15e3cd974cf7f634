"""Which input of the generators defends? Section 4.1, Figure 3.

The paper's four formulations with its settings, an undefended baseline, and
the same four inputs where generators say where a gradient step begins.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.figure import Figure

from experiments import marks
from experiments.command import main
from experiments.experiment import (
    Experiment,
    Row,
    accuracy,
    attacks_in,
    radii_in,
)
from experiments.options import Preset, Section
from experiments.study import Measurement, Study, Trial
from tfgan_robust.attacks.formulations import FORMULATIONS
from tfgan_robust.reports.plot_style import GREY, PALETTE

BASELINE = "baseline"
COLORS = {
    BASELINE: GREY,
    **dict(zip(FORMULATIONS, PALETTE, strict=False)),
}
# By whose settings, with how they are drawn.
SETTINGS = {"paper": "the paper's settings", "ours": "a learned start"}


def trials(preset: Preset, _: Study) -> list[Trial]:
    """Returns baseline and formulations, under both kinds of settings."""
    section = preset.section(NAME)
    measurement = Measurement("test", section.measuring)
    return [
        Trial(
            f"{NAME}/{formulation}-{kind}-{seed}",
            {**section.training, **changes, "seed": seed},
            (measurement,),
            {"formulation": formulation, "settings by": kind},
        )
        for formulation, kind, changes in _variants(section)
        for seed in section["seeds"]
    ]


def _variants(section: Section) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields formulations, by whose settings, and what they change."""
    for formulation in ("grad_x", "x", "grad", "xz"):
        chosen = {"formulation": formulation}
        yield formulation, "paper", {**section["generators"], **chosen}
        if formulation == "grad_x":
            yield BASELINE, "paper", {"method": "natural"}
        yield formulation, "ours", {**section["ours"], **chosen}


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws accuracy over the radius, a panel for each attack and settings."""
    attacks, radii = attacks_in(rows), [0.0, *radii_in(rows)]
    figure = Figure(figsize=(3.3 * len(attacks), 6.2), layout="constrained")
    panels = figure.subplots(
        len(SETTINGS), len(attacks), sharex=True, sharey=True, squeeze=False
    )
    for line, (kind, words) in zip(panels, SETTINGS.items(), strict=True):
        for panel, attack in zip(line, attacks, strict=True):
            panel.set_title(f"{attack}, {words}", fontsize=8.5)
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
                        marker="osd^v"[list(COLORS).index(name)],
                        markersize=4,
                        color=COLORS[name],
                        label=name if row["seed"] == rows[0]["seed"] else None,
                    )
            stated = attack == "pgd-100" and kind == "paper"
            if stated and marks.applies(rows):
                marks.draw_pgd(panel)
            panel.set_ylim(0, 100)
            panel.grid(axis="y")
        line[0].set_ylabel("accuracy, %")
        line[-1].legend(fontsize=7)
    for panel in panels[-1]:
        panel.set_xlabel("radius, 1/255")
        panel.set_xticks([round(255 * eps) for eps in radii])
    return figure


NAME = "formulations"
EXPERIMENT = Experiment(
    NAME, "Formulations of the generators' input", "4.1, Figure 3",
    trials, draw,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
