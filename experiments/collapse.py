"""Who collapses in a long run at a large radius, and do the alarms say so?

Training by one gradient step can overfit to that step: accuracy under FGSM
goes up, under PGD to nothing (arXiv:2001.03994). Some of
`experiments.harness.variants` train at a large radius for a long time;
`alarms.json` has what was said while they did, and the attack that decides says
afterwards whether the last network is weaker than the best was.
"""

import json
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from experiments.harness import variants
from experiments.harness.command import main
from experiments.harness.experiment import Experiment, Row
from experiments.harness.options import Preset, Section
from experiments.harness.study import Measurement, Study, Trial
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.plot_style import PALETTE
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training.alarms import (
    fgsm_rises_while_pgd_falls,
    pgd_collapses,
)
from tfgan_robust.training.records import read_metrics

NAME = "collapse"
CHECKPOINTS = ("best", "last")
# The alarms that say of a collapse, by name.
ALARMS = [
    alarm.__name__ for alarm in (fgsm_rises_while_pgd_falls, pgd_collapses)
]


def trials(preset: Preset, study: Study) -> list[Trial]:
    """Returns a run for each method, whose best and last networks count."""
    section = preset.section(NAME)
    budget = section["budget"]
    timed = variants.timed(section["variants"], section, study, budget)
    return [
        Trial(
            f"{NAME}/{variants.trial_name(variant, budget, seed)}",
            {**each.settings, "seed": seed},
            tuple(
                Measurement(name, {**section.measuring, "checkpoint": name})
                for name in CHECKPOINTS
            ),
            {"variant": variant},
        )
        for seed in section["seeds"]
        for variant, each in timed.items()
    ]


def history(run: RunDirectory) -> dict[str, Any]:
    """Returns accuracies, and alarms of a collapse, by epoch.

    Args:
        run: What is kept of it.
    """
    rows = [
        row for row in read_metrics(run.metrics) if "val_pgd_accuracy" in row
    ]
    alarms = json.loads(run.alarms.read_text("utf-8"))
    return {
        "at": [int(row["epoch"]) for row in rows],
        "fgsm": [row["val_fgsm_accuracy"] for row in rows],
        "pgd": [row["val_pgd_accuracy"] for row in rows],
        "alarms": [
            (alarm["epoch"], alarm["name"])
            for alarm in alarms
            if alarm["name"] in ALARMS
        ],
    }


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws validation accuracy over epochs, and when alarms were given."""
    # Whatever was measured of a training, its history is the same.
    rows = list({row["trial"]: row for row in rows}.values())
    figure = Figure(figsize=(2.6 * len(rows), 3), layout="constrained")
    panels = figure.subplots(1, len(rows), sharey=True, squeeze=False)[0]
    for panel, row in zip(panels, rows, strict=True):
        found = row["history"]
        panel.set_title(row["variant"])
        radius = format_eps(row["resolved"]["eval_eps"])
        for number, attack in enumerate(("fgsm", "pgd")):
            values = [100 * each for each in found[attack]]
            panel.plot(
                found["at"], values, color=PALETTE[number],
                label=f"{attack}, {radius}, validation",
                linestyle="-:"[number],
            )  # fmt: skip
        epochs = [epoch for epoch, _ in found["alarms"]]
        if epochs:
            # Once collapsed, each measurement raises one.
            panel.axvline(
                min(epochs), color=PALETTE[4], linewidth=0.8, zorder=0
            )
        # What collapsed is at 0.
        panel.set_ylim(-3, 100)
        panel.set_xlabel("epoch (line: first alarm)")
        panel.grid(axis="y")
    panels[0].set_ylabel("accuracy, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, fontsize=7, ncols=2, loc="outside upper center"
    )
    return figure


EXPERIMENT = Experiment(
    NAME, "Collapse in long runs at a large radius", "4.2",
    trials, draw,
    more=lambda trial, study: {"history": history(study.kept(trial))},
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
