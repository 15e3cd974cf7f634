"""Does longer training help? Section 4.2, Figure 4.

One run of `grad` with generators x2, measured at networks that it kept on the
way.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from experiments.findings import marks
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
from tfgan_robust.reports.plot_style import CLEAN_COLOR, MARKERS, PALETTE

NAME = "epochs"


def long_run(
    preset: Preset, measurements: Sequence[Measurement], seed: int
) -> Trial:
    """Returns the paper's long run, which several experiments measure.

    Args:
        preset: Which settings.
        measurements: What is measured of it.
        seed: Of the run.
    """
    section = preset.section(NAME)
    return Trial(
        f"{NAME}/grad-x2-{seed}",
        {**section.training, "seed": seed},
        tuple(measurements),
        {"formulation": "grad"},
    )


def trials(preset: Preset, _: Study) -> list[Trial]:
    """Returns one run for each seed, measured at the epochs it kept."""
    section = preset.section(NAME)
    measurements = [
        Measurement(
            f"epoch-{epoch}",
            {**section.measuring, "checkpoint": f"epoch-{epoch}"},
        )
        for epoch in section["measured"]
    ]
    return [long_run(preset, measurements, s) for s in section["seeds"]]


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws accuracy over epochs, a panel for each attack."""
    attacks = attacks_in(rows)
    figure = Figure(figsize=(3.6 * len(attacks), 3.6), layout="constrained")
    panels = figure.subplots(1, len(attacks), sharey=True, squeeze=False)[0]
    for panel, attack in zip(panels, attacks, strict=True):
        panel.set_title(attack)
        curves = [("clean", 0.0, CLEAN_COLOR, "clean")] + [
            (attack, eps, color, f"{255 * eps:.0f}/255")
            for eps, color in zip(radii_in(rows), PALETTE[1:], strict=False)
        ]
        for seed in dict.fromkeys(row["seed"] for row in rows):
            same = [row for row in rows if row["seed"] == seed]
            at = [row["epochs"] for row in same]
            for mark, (name, eps, color, label) in zip(
                MARKERS, curves, strict=False
            ):
                values = [accuracy(row, name, eps) for row in same]
                first = seed == rows[0]["seed"]
                panel.plot(
                    at, values, marker=mark, ms=4, color=color,
                    label=label if first else None, clip_on=False,
                )  # fmt: skip
        if attack == "pgd-100" and marks.applies(rows):
            stated = marks.pgd_100().values()
            panel.plot(
                [100] * len(stated), stated, "kx",
                label="paper, 4, 8, 16/255",
            )  # fmt: skip
        panel.set_ylim(0, 100)
        panel.set_xlabel("epoch")
        panel.grid(axis="y")
        panel.legend(fontsize=7)
    panels[0].set_ylabel("accuracy, %")
    return figure


EXPERIMENT = Experiment(
    NAME, "Length of training, grad x2", "4.2, Figure 4", trials, draw
)

if __name__ == "__main__":
    main(EXPERIMENT)
