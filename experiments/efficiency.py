"""Robust accuracy against training time: does a generator earn its cost?

The paper's claim (abstract and section 4.5), put to the test. Every method
trains for the same time: as many epochs as cost what a number of epochs of
FGSM with a random start cost, by the time of a step of each, measured first in
one run. All have the same optimizer, schedule and averaging, and each control
is what a generator's place can be filled with that learns nothing, or less.
Accuracy is of validation images unless `--split=test` is given.

    python -m experiments.efficiency --output=runs/efficiency --data_dir=DIR

A training or an evaluation that is done is not repeated, and one that was
stopped goes on.
"""

import argparse
import csv
import statistics
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import study
from tfgan_robust.files import read_json_object, write_json
from tfgan_robust.reports.numbers import mcnemar
from tfgan_robust.reports.plot_style import GREY, PALETTE, STYLE
from tfgan_robust.reports.reading import read_evaluation
from tfgan_robust.runs.presets import resolve

COMMON: dict[str, Any] = {
    "dataset": "cifar10",
    "classifier_width": 0.25,
    "eps": "8/255",
    "eval_every": 5,
}
GENERATORS = {"generator_width": 0.0625}
ATTACKS = "fgsm,pgd-20,autoattack-fast"
DECIDING = "autoattack-fast"
EPS = 8 / 255
IMAGES = 1000
UNIT = "fgsm"
_STEPS = 20

# What generators see, and what else they are told.
_START: dict[str, Any] = {"method": "start", **GENERATORS}
_GAN: dict[str, Any] = {"method": "gan", "clean_weight": 0.0, **GENERATORS}

# By name: what each trial changes. Generators of the paper's method, those
# that say where a step begins, their controls, and the yardsticks.
VARIANTS: dict[str, dict[str, Any]] = {
    "fgsm": {"method": "fgsm"},
    "nfgsm": {"method": "nfgsm"},
    "pgd-2": {"method": "pgd", "attack_steps": 2},
    "pgd-7": {"method": "pgd", "attack_steps": 7},
    "nfgsm, awp": {"method": "nfgsm", "weight_perturbation": 0.01},
    "trades": {"method": "trades"},
    "gan, as it was": {
        "method": "gan",
        "generator_assignment": "all",
        "zero_output": False,
        "generator_width": 0.25,
        "generator_step": 1.25,
        "clean_weight": 0.5,
    },
    "gan": _GAN,
    "gan, magnitude": {
        **_GAN,
        "direction": "multiplied",
        "generator_step": 2.5,
    },
    "start x": {**_START, "formulation": "x"},
    "start xz": {**_START, "formulation": "xz"},
    "start grad": {**_START, "formulation": "grad"},
    "start grad_x": {**_START, "formulation": "grad_x"},
    "start x, free": {
        **_START,
        "formulation": "x",
        "start_noise": 1.0,
        "clip_to_ball": False,
    },
    "start x, paired": {**_START, "formulation": "x", "pairing_weight": 1.0},
    "start noise, paired": {
        "method": "start",
        "start_from": "noise",
        "pairing_weight": 1.0,
    },
    "start universal": {
        "method": "start",
        "start_from": "universal",
        "generator_learning_rate": 0.01,
    },
    "start noise": {"method": "start", "start_from": "noise"},
    "start remembered": {"method": "start", "start_from": "remembered"},
}


# The panels of the plot; the reference is drawn in each.
REFERENCE = "nfgsm"
COLORS = (*PALETTE, "#000000")
FAMILIES = {
    "yardsticks": [
        name for name in VARIANTS if not name.startswith(("gan", "start"))
    ],
    "generators": [
        name
        for name in VARIANTS
        if name.startswith("gan") or "formulation" in VARIANTS[name]
    ],
    "in a generator's place": [
        name
        for name in VARIANTS
        if name.startswith("start") and "formulation" not in VARIANTS[name]
    ],
}


class Trial(NamedTuple):
    """One training.

    Attributes:
        variant: One of `VARIANTS`.
        budget: Its time, in epochs of FGSM.
        seed: Of everything.
    """

    variant: str
    budget: int
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        words = self.variant.replace(",", "").replace("/", "_").split()
        return "-".join([*words, str(self.budget), str(self.seed)])


def main() -> None:
    """Runs the trials, and writes their table and plot after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--results", type=Path, help="default: --output")
    parser.add_argument("--budgets", default="10,30")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--only", help="variants, separated by semicolons")
    arguments = parser.parse_args()
    only = arguments.only and [n.strip() for n in arguments.only.split(";")]
    costs = measured_costs(arguments.output / "costs.json")
    results = arguments.results or arguments.output
    for budget in map(int, arguments.budgets.split(",")):
        for seed in map(int, arguments.seeds.split(",")):
            for variant in only or VARIANTS:
                trial = Trial(variant, budget, seed)
                run(trial, costs, arguments)
                publish(arguments.output, arguments.split, costs, results)


def settings_of(trial: Trial, costs: dict[str, float]) -> dict[str, Any]:
    """Returns what a trial is trained with."""
    epochs = round(trial.budget * costs[UNIT] / costs[trial.variant])
    return {
        **COMMON,
        **VARIANTS[trial.variant],
        "epochs": max(1, epochs),
        "seed": trial.seed,
    }


def run(
    trial: Trial, costs: dict[str, float], arguments: argparse.Namespace
) -> None:
    """Trains and measures one trial, as far as that is not done."""
    folder = arguments.output / trial.name
    measured = folder / arguments.split
    if study.is_measured(measured):
        return
    data = {"data_dir": arguments.data_dir}
    study.train({**settings_of(trial, costs), **data}, folder / "run")
    study.evaluate(
        folder / "run",
        measured,
        checkpoint="last",
        split=arguments.split,
        attacks=ATTACKS,
        eps="8/255",
        num_images=IMAGES,
        audit=False,
        **data,
    )


def measured_costs(file: Path) -> dict[str, float]:
    """Returns the seconds of a step of each variant, measured if unknown."""
    stored = read_json_object(file) if file.exists() else {}
    costs: dict[str, float] = stored.get("seconds", {})
    missing = [name for name in VARIANTS if name not in costs]
    if missing:
        # What needs TensorFlow, which trials have in processes of their own.
        from experiments.benchmark_training import (
            about,
            compiled_step,
            time_steps,
        )

        wanted = {
            name: partial(compiled_step, {**COMMON, **VARIANTS[name]})
            for name in (UNIT, *missing)
        }
        found = time_steps(wanted, _STEPS)
        # On the scale of what is stored, should the machine be another one.
        scale = costs.get(UNIT, found[UNIT]) / found[UNIT]
        costs |= {name: scale * found[name] for name in missing}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"seconds": costs, **about()})
    return costs


def done(output: Path, split: str) -> Iterator[tuple[Trial, Path]]:
    """Yields the trials that were measured, with their evaluations."""
    for variant in VARIANTS:
        prefix = Trial(variant, 0, 0).name.removesuffix("-0-0")
        for file in sorted(output.glob(f"{prefix}-*-*/{split}/results.json")):
            rest = file.parents[1].name.removeprefix(f"{prefix}-").split("-")
            numbered = len(rest) == 2 and all(part.isdigit() for part in rest)
            if numbered and study.is_measured(file.parent):
                yield Trial(variant, *map(int, rest)), file.parent


def publish(
    output: Path, split: str, costs: dict[str, float], results: Path
) -> None:
    """Writes efficiency.json, .csv and .png from what was measured."""
    trials, masks = [], {}
    for trial, folder in done(output, split):
        evaluation = read_evaluation(folder).evaluation
        config = resolve(settings_of(trial, costs))
        masks[trial] = evaluation.masks[DECIDING, EPS]
        trials.append(
            {
                **trial._asdict(),
                "epochs": config.epochs,
                "time": config.epochs * costs[trial.variant] / costs[UNIT],
                "images": evaluation.num_images,
                "clean": evaluation.accuracy("clean"),
                **{
                    attack: evaluation.accuracy(attack, EPS)
                    for attack in ATTACKS.split(",")
                },
            }
        )
    results.mkdir(parents=True, exist_ok=True)
    stem = results / f"efficiency_{split}"
    write_json(
        stem.with_suffix(".json"),
        {
            "split": split,
            "seconds of a step": costs,
            "trials": trials,
            "paired": list(paired(masks)),
        },
    )
    if trials:
        with stem.with_suffix(".csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, trials[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(trials)
        images = trials[0]["images"]
        note = (
            f"{images} {split} images of CIFAR-10 (JPEG q75), eps 8/255, "
            "quarter width; bars: range of seeds"
        )
        draw(trials, note).savefig(stem.with_suffix(".png"), dpi=110)


def paired(masks: dict[Trial, Any]) -> Iterator[dict[str, Any]]:
    """Compares each variant with the best of its budget and seed."""
    for trial, mask in masks.items():
        same = [t for t in masks if t[1:] == trial[1:]]
        best = max(same, key=lambda t: masks[t].mean())
        if best != trial:
            other = masks[best]
            only = int((mask & ~other).sum()), int((other & ~mask).sum())
            yield {
                **trial._asdict(),
                "best": best.variant,
                "only this": only[0],
                "only the best": only[1],
                "p": mcnemar(*only),
            }


Curve = list[tuple[int, float, float, float]]


def curves(trials: Iterable[dict[str, Any]]) -> dict[str, Curve]:
    """Returns for each variant, by budget, the mean and range of its seeds."""
    groups: dict[tuple[str, int], list[float]] = {}
    for trial in trials:
        key = (trial["variant"], trial["budget"])
        groups.setdefault(key, []).append(100 * trial[DECIDING])
    found: dict[str, Curve] = {}
    for (variant, budget), values in sorted(groups.items()):
        spread = (statistics.mean(values), min(values), max(values))
        found.setdefault(variant, []).append((budget, *spread))
    return found


@matplotlib.rc_context(STYLE)
def draw(trials: list[dict[str, Any]], note: str) -> Figure:
    """Draws robust accuracy over training time, a panel for each family.

    Args:
        trials: As in the file.
        note: What a reader must know with it.
    """
    found = curves(trials)
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, len(FAMILIES), sharex=True, sharey=True)
    for panel, (family, variants) in zip(panels, FAMILIES.items(), strict=True):
        panel.set_title(family)
        shown = [name for name in variants if name in found]
        if REFERENCE in found and REFERENCE not in shown:
            _curve(panel, found[REFERENCE], REFERENCE, GREY, linestyle=":")
        for name, color in zip(shown, COLORS, strict=False):
            _curve(panel, found[name], name, color)
        panel.set_xscale("log")
        budgets = sorted({trial["budget"] for trial in trials})
        panel.set_xticks(budgets, [str(budget) for budget in budgets])
        panel.minorticks_off()
        panel.grid(axis="y")
        panel.set_xlabel("training time, in epochs of fgsm")
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=7)
    panels[0].set_ylabel(f"accuracy under {DECIDING}, %")
    figure.supxlabel(note, x=0.01, ha="left", fontsize=7.5, color=GREY)
    return figure


def _curve(
    panel: Axes, curve: Curve, name: str, color: str, linestyle: str = "-"
) -> None:
    budgets, means, low, high = zip(*curve, strict=True)
    panel.plot(
        budgets, means, linestyle, marker="o", color=color, label=name, ms=4
    )
    panel.vlines(budgets, low, high, color=color, linewidth=3, alpha=0.4)


if __name__ == "__main__":
    main()
