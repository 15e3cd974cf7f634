"""Does what works for the paper's VGG work for other networks? Section 5.

The paper names networks with attention as its next step. The best method of
`experiments.efficiency` trains the VGG, a ResNet-18 and a vision transformer
for the same time.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from experiments.harness import seconds
from experiments.harness.command import main
from experiments.harness.experiment import (
    Experiment,
    Row,
    attacks_in,
    entry,
    on_test_images,
    radii_in,
    sweeping,
)
from experiments.harness.options import Preset, Section
from experiments.harness.study import Study, Trial
from tfgan_robust.reports.plot_style import CLEAN_COLOR, PALETTE

NAME = "architectures"
UNIT = "vgg"
# The column that says how much time a training took, of what it was to take.
TIME = f"time in {UNIT} epochs"
# What each needs beside the settings of all.
NETWORKS: dict[str, dict[str, Any]] = {
    UNIT: {},
    "resnet18": {},
    "vit": {"optimizer": "adam", "classifier_learning_rate": 1e-3},
}


def trials(preset: Preset, study: Study) -> list[Trial]:
    """Returns a run for each network and seed, of equal time."""
    section = preset.section(NAME)
    measurements = on_test_images(section)
    wanted = {
        name: {**section.training, **changes, "classifier": name}
        for name, changes in NETWORKS.items()
    }
    costs = study.results / "costs.json"
    timed = seconds.equal_time(costs, wanted, UNIT, section["epochs"])
    return [
        Trial(
            f"{NAME}/{name}-{seed}",
            {**each.settings, "seed": seed},
            measurements,
            {"network": name, TIME: each.time},
        )
        for seed in section["seeds"]
        for name, each in timed.items()
    ]


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws clean and robust accuracy of each network, with intervals."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    panel = figure.subplots()
    names = list(dict.fromkeys(row["network"] for row in rows))
    # The last attack at all radii, and what is stronger at one.
    attacks = attacks_in(rows)
    attacks = attacks[attacks.index(sweeping(rows)[-1]) :]
    shown = [("clean", 0.0, CLEAN_COLOR, "o", "clean")] + [
        (attack, eps, color, mark, f"{attack}, {255 * eps:.0f}/255")
        for eps, color in zip(radii_in(rows), PALETTE[1:], strict=False)
        for attack, mark in zip(attacks, "os", strict=False)
        if any(entry(row, attack, eps) for row in rows)
    ]
    for kind, eps, color, mark, label in shown:
        for row in rows:
            found = entry(row, kind, eps)
            if found is not None:
                value = found["accuracy"]
                panel.errorbar(
                    100 * value,
                    names.index(row["network"]) + 0.18 * "os".index(mark),
                    xerr=[
                        [100 * (value - found["low"])],
                        [100 * (found["high"] - value)],
                    ],
                    fmt=mark,
                    color=color,
                    capsize=3,
                    label=label if row is rows[0] else None,
                )
    # Epochs are whole, so that times differ.
    times = {row["network"]: row[TIME] for row in rows}
    panel.set_yticks(
        range(len(names)), [f"{name}\n{times[name]:g}" for name in names]
    )
    panel.set_ylabel(f"network, {TIME}")
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlim(0, 100)
    panel.set_xlabel("accuracy, %")
    panel.grid(axis="x")
    panel.legend(fontsize=7)
    return figure


EXPERIMENT = Experiment(
    NAME, "Other networks, trained for the same time", "5", trials, draw
)

if __name__ == "__main__":
    main(EXPERIMENT)
