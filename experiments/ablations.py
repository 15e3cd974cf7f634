"""Which of the paper's open points matters, and which explains overfitting?

Section 3's choices, each changed alone. The paper sees over 90 % on training
images and about 70 % on test images, and cannot explain it (4.1): each row has
both, in inference mode. Where networks are narrow, dropout is as much weaker,
since in front of batch normalisation it leaves them next to nothing in
inference mode (arXiv:1801.05134); training images are few and learning rates
higher, in the paper's ratio: a narrow network does not overfit to 45,000 images
in the epochs that a small machine has, and without overfitting nothing can
explain it.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from experiments.harness.command import main
from experiments.harness.experiment import (
    Experiment,
    Row,
    accuracy,
    attacks_in,
    on_clean_images,
    on_training_images,
    radii_in,
)
from experiments.harness.options import Preset, Section
from experiments.harness.study import Measurement, Study, Trial
from tfgan_robust.reports.plot_style import CLEAN_COLOR, MARKERS, PALETTE

NAME = "ablations"
BASE = "base"
# The paper's limit (4.1), and more than that.
DECAY, MORE_DECAY = "weight decay 0.0001", "weight decay 0.001"
# By name: what each changes in the base, the paper's settings as a preset
# adapts them.
VARIANTS: dict[str, dict[str, Any]] = {
    BASE: {},
    "gradient of the predicted class": {"gradient_label": "predicted"},
    "no dropout": {"dropout_scale": 0.0},
    "half of the paper's dropout": {"dropout_scale": 0.5},
    "all of the paper's dropout": {"dropout_scale": 1.0},
    "one generator": {"num_generators": 1},
    "separate batches": {"batching": "separate"},
    "attacked in training mode": {"attack_mode": "training"},
    "simultaneous updates": {
        "update": "simultaneous",
        "generator_mode": "training",
    },
    "generators x2": {"generator_width": "x2"},
    "generators see training mode": {"generator_mode": "training"},
    DECAY: {"weight_decay": 1e-4},
    MORE_DECAY: {"weight_decay": 1e-3},
    "undefended": {"method": "natural"},
}


def changes(variant: str, base: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a variant; x2 is twice the base's width."""
    found = {**base, **VARIANTS[variant]}
    if found.get("generator_width") == "x2":
        found["generator_width"] = 2 * base.get("generator_width", 1.0)
    if found.get("method") != "natural":
        return found
    return {
        name: value
        for name, value in found.items()
        if name != "formulation" and not name.startswith("generator_")
    }


def trials(preset: Preset, _: Study) -> list[Trial]:
    """Returns a run for each variant and seed, the first seed of all first.

    Of the base there are more seeds.
    """
    section = preset.section(NAME)
    base = {"dropout_scale": 1.0, **section.training}
    every = {variant: changes(variant, base) for variant in VARIANTS}
    measurements = (
        Measurement("test", section.measuring),
        on_clean_images(section),
        on_training_images(section),
    )
    found = [
        Trial(
            f"{NAME}/{_folder(variant)}-{seed}",
            {**settings, "seed": seed},
            measurements,
            {"variant": variant},
        )
        for variant, settings in every.items()
        if variant == BASE or settings != base
        for seed in _seeds(variant, section)
    ]
    return sorted(found, key=lambda trial: int(trial.settings["seed"]))


def _seeds(variant: str, section: Section) -> list[int]:
    """Returns seeds: more of the base, one of what answers least."""
    if variant == BASE:
        return list(section["base seeds"])
    seeds = list(section["seeds"])
    return seeds[:1] if variant in section["once"] else seeds


def _folder(variant: str) -> str:
    return variant.replace("'", "").replace(" ", "-")


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws training and test accuracy of clean and of perturbed images."""
    variants = [v for v in VARIANTS if any(r["variant"] == v for r in rows)]
    attack, radii = attacks_in(rows)[-1], radii_in(rows)
    figure = Figure(
        figsize=(9, 1.2 + 0.32 * len(variants)), layout="constrained"
    )
    panels = figure.subplots(1, 2, sharey=True)
    panels[0].set_title("clean images")
    panels[1].set_title(f"test images under {attack}")
    for number, variant in enumerate(variants):
        for row in rows:
            if row["variant"] != variant:
                continue
            split = row["split"]
            clean = accuracy(row, "clean")
            first = number == 0 and row["seed"] == rows[0]["seed"]
            panels[0].plot(
                [clean], [number], "o",
                color=CLEAN_COLOR,
                fillstyle="full" if split == "test" else "none",
                label=f"{split} images" if first else None,
            )  # fmt: skip
            if split != "test":
                continue
            for eps, color, mark in zip(
                radii, PALETTE[1:], MARKERS, strict=False
            ):
                panels[1].plot(
                    [accuracy(row, attack, eps)], [number], mark,
                    color=color,
                    label=f"{255 * eps:.0f}/255" if first else None,
                )  # fmt: skip
    panels[0].set_yticks(range(len(variants)), variants)
    panels[0].invert_yaxis()
    for panel in panels:
        panel.set_xlim(0, 100)
        panel.set_xlabel("accuracy, %")
        panel.grid(axis="x")
        panel.legend(fontsize=7)
    return figure


EXPERIMENT = Experiment(
    NAME, "What the paper leaves open, and its overfitting", "3 and 4.1",
    trials, draw,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
