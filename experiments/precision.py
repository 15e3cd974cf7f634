"""Does training in bfloat16 cost robustness?

One configuration in both precisions, with the same seeds and epochs, measured
on the same validation images.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from experiments.harness.command import main
from experiments.harness.experiment import (
    Experiment,
    Row,
    accuracy,
    attacks_in,
    radii_in,
)
from experiments.harness.options import Preset, Section
from experiments.harness.study import Measurement, Study, Trial
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.plot_style import CLEAN_COLOR, MARKERS, PALETTE

NAME = "precision"
PRECISIONS = ("mixed_bfloat16", "float32")


def trials(preset: Preset, _: Study) -> list[Trial]:
    """Returns a run for each seed and precision."""
    section = preset.section(NAME)
    return [
        Trial(
            f"{NAME}/{precision}-{seed}",
            {**section.training, "precision": precision, "seed": seed},
            (Measurement("validation", section.measuring),),
            {"precision": precision},
        )
        for seed in section["seeds"]
        for precision in PRECISIONS
    ]


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws each seed's accuracies in both precisions."""
    figure = Figure(figsize=(5.4, 2.8), layout="constrained")
    panel = figure.subplots()
    attacks = [("clean", 0.0)] + [
        (attack, eps) for eps in radii_in(rows) for attack in attacks_in(rows)
    ]
    colors = (CLEAN_COLOR, *PALETTE[1:])
    shown = list(zip(attacks, colors, MARKERS, strict=False))
    for row in rows:
        at = PRECISIONS.index(row["precision"]) + 0.08 * (row["seed"] - 1)
        for (attack, eps), color, mark in shown:
            value = accuracy(row, attack, eps)
            if value is not None:
                words = f"{attack}, {format_eps(eps)}" if eps else attack
                label = words if row is rows[0] else None
                panel.plot([at], [value], mark, color=color, label=label)
    panel.set_xticks(range(len(PRECISIONS)), PRECISIONS)
    panel.set_xlim(-0.5, len(PRECISIONS) - 0.5)
    panel.set_ylabel("accuracy, %")
    panel.grid(axis="y")
    panel.legend(fontsize=7)
    return figure


EXPERIMENT = Experiment(
    NAME, "Training in bfloat16 and in float32", "none", trials, draw
)

if __name__ == "__main__":
    main(EXPERIMENT)
