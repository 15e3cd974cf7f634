"""Are 100 iterations of PGD enough? Section 4.3, Table 2.

The long run of `experiments.epochs`, at one of its epochs, under PGD of 100
and of 1000 iterations.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from experiments import epochs
from experiments.findings import marks
from experiments.harness.command import main
from experiments.harness.experiment import (
    Experiment,
    Row,
    attacks_in,
    entry,
    radii_in,
)
from experiments.harness.options import Preset, Section
from experiments.harness.study import Measurement, Study, Trial
from tfgan_robust.reports.plot_style import MARKERS, PALETTE

NAME = "pgd_iterations"


def trials(preset: Preset, _: Study) -> list[Trial]:
    """Returns the long run, measured at the epoch that the preset names."""
    section = preset.section(NAME)
    at = {"checkpoint": f"epoch-{section['epoch']}"}
    measurement = Measurement("iterations", {**section.measuring, **at})
    return [epochs.long_run(preset, [measurement], s) for s in section["seeds"]]


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws accuracy with its interval for each radius and iteration count."""
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    panel = figure.subplots()
    radii, attacks = radii_in(rows), attacks_in(rows)
    for number, attack in enumerate(attacks):
        for row in rows:
            found = [entry(row, attack, eps) for eps in radii]
            at = [k + 0.2 * (number - 1) for k in range(len(radii))]
            middle = [100 * each["accuracy"] for each in found if each]
            panel.errorbar(
                at,
                middle,
                yerr=[
                    [100 * (e["accuracy"] - e["low"]) for e in found if e],
                    [100 * (e["high"] - e["accuracy"]) for e in found if e],
                ],
                fmt=MARKERS[number],
                markersize=4,
                color=PALETTE[number],
                capsize=4,
                clip_on=False,
                label=attack if row is rows[0] else None,
            )
    names = [f"{255 * eps:.0f}/255" for eps in radii]
    table = marks.STATED["table 2"] if marks.applies(rows) else {}
    for number, (attack, stated) in enumerate(table.items()):
        known = {
            k: stated[f"{255 * eps:.0f}"]
            for k, eps in enumerate(radii)
            if f"{255 * eps:.0f}" in stated
        }
        panel.plot(
            [k + 0.15 + 0.2 * number for k in known],
            list(known.values()),
            "k" + "x+"[number % 2],
            label=f"paper, {attack}",
        )
    panel.set_xticks(range(len(radii)), names)
    panel.set_xlabel("radius")
    panel.set_ylabel("accuracy, %")
    panel.set_ylim(0, 100)
    panel.grid(axis="y")
    panel.legend(fontsize=7)
    return figure


EXPERIMENT = Experiment(
    NAME, "PGD of 100 and of 1000 iterations", "4.3, Table 2", trials, draw
)

if __name__ == "__main__":
    main(EXPERIMENT)
