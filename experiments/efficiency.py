"""Robust accuracy against training time: does a generator earn its cost?

The paper's claim (abstract and section 4.5), put to the test. Every method
trains for the same time: as many epochs as cost what a number of epochs of FGSM
with a random start cost, by the time of a step of each, measured first in one
run. Epochs are whole, so that times differ a little: the figure and the table
say what each really is. All have the same optimizer, schedule and averaging,
and each control is what a generator's place can be filled with that learns
nothing, or less. Accuracy is of validation images. More seeds, which come after
all other experiments, have what is within some points of the best of the
shortest time, and of each time the best few, with the best generator and the
best without one among them, so that these two have equally many seeds.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.harness.command import main
from experiments.harness.experiment import (
    Experiment,
    Row,
    accuracy,
    attacks_in,
    radii_in,
    rows_of,
    write_csv,
)
from experiments.harness.options import Preset, Section
from experiments.harness.study import Measurement, Study, Trial
from experiments.harness.variants import (
    FAMILIES,
    TIME,
    UNIT,
    sides,
    timed,
    trial_name,
)
from tfgan_robust.reports.numbers import mcnemar
from tfgan_robust.reports.plot_style import GREY, MARKERS, PALETTE

NAME = "efficiency"
# Drawn in each panel.
REFERENCE = "nfgsm"
COLORS = (*PALETTE, "#000000")


def trials(preset: Preset, study: Study) -> list[Trial]:
    """Returns all variants once, for the shortest time first."""
    section = preset.section(NAME)
    return [
        trial
        for number in range(len(section["budgets"]))
        for trial in _once(number, section, study)
    ]


def more_seeds(preset: Preset, study: Study) -> list[Trial]:
    """Returns the best of each time with more seeds, once they are known."""
    section = preset.section(NAME)
    _, *more = section["seeds"]
    found: list[Trial] = []
    for number in range(len(section["budgets"])):
        once = _once(number, section, study)
        # A longer time waits for the shorter ones, so that the order stays.
        if not all(study.is_settled(trial) for trial in once):
            break
        rows = list(rows_of(once, study))
        reached = {row["variant"]: decisive(row) for row in rows}
        chosen = best(reached, section["best"])
        if not number:
            # The shortest time affords all that may be the best.
            near = close_to_best(reached, section["within"])
            chosen = [name for name in reached if name in (*near, *chosen)]
        found += _trials(chosen, number, more, section, study)
    return found


def all_seeds(preset: Preset, study: Study) -> list[Trial]:
    """Returns all variants with each seed, should they ever be asked for.

    Seeds that are kept stay, whatever the best of all are by now.
    """
    section = preset.section(NAME)
    _, *more = section["seeds"]
    found = trials(preset, study)
    for number in range(len(section["budgets"])):
        variants = _variants(number, section)
        found += _trials(variants, number, more, section, study)
    return found


def most_seeds(preset: Preset, study: Study) -> list[Trial]:
    """Returns trials that last as long as any that `more_seeds` may return.

    Of the shortest time all may be close to the best, and of a longer one the
    slowest may be the best.
    """
    section = preset.section(NAME)
    _, *more = section["seeds"]
    found: list[Trial] = []
    for number in range(len(section["budgets"])):
        once = _once(number, section, study)
        once.sort(key=lambda trial: -trial.about[TIME])
        names = [trial.about["variant"] for trial in once]
        # One more than the best few, should these be all of one side.
        count = max(section["best"] + 1, 2) if number else len(names)
        found += _trials(names[:count], number, more, section, study)
    return found


def _once(number: int, section: Section, study: Study) -> list[Trial]:
    """Returns the variants of a budget with the first seed."""
    variants = _variants(number, section)
    return _trials(variants, number, section["seeds"][:1], section, study)


def _variants(number: int, section: Section) -> list[str]:
    return list(section["longer" if number else "variants"])


def _trials(
    variants: Sequence[str],
    number: int,
    seeds: Sequence[int],
    section: Section,
    study: Study,
) -> list[Trial]:
    """Returns trainings for one of the budgets, with their measurement."""
    budget = section["budgets"][number]
    return [
        Trial(
            f"{NAME}/{trial_name(variant, budget, seed)}",
            {**each.settings, "seed": seed},
            (Measurement("validation", section.measuring),),
            {
                "variant": variant,
                "budget": budget,
                TIME: each.time,
            },
        )
        for variant, each in timed(variants, section, study, budget).items()
        for seed in seeds
    ]


def close_to_best(reached: Mapping[str, float], within: float) -> list[str]:
    """Returns what is within so many points of the best.

    Args:
        reached: Accuracies in %, by variant.
        within: In points.
    """
    least = max(reached.values(), default=0.0) - within
    return [variant for variant, value in reached.items() if value >= least]


def best(reached: Mapping[str, float], count: int) -> list[str]:
    """Returns the best few, and the best with and without a generator.

    Args:
        reached: Accuracies in %, by variant.
        count: How many, without those two.

    Returns:
        The best first.
    """
    ordered = sorted(reached, key=lambda name: -reached[name])
    chosen = ordered[:count]
    for side in sides(ordered):
        chosen += [name for name in side[:1] if name not in chosen]
    return sorted(chosen, key=ordered.index)


def decisive(row: Row) -> float:
    """Returns the accuracy that decides, in %: the last attack's."""
    found = accuracy(row, attacks_in([row])[-1], radii_in([row])[-1])
    if found is None:
        raise ValueError(f"{row['trial']} was not measured.")
    return found


def also(preset: Preset, study: Study) -> None:
    """Writes how each compares with the best of its time and seed."""
    masks, abouts = {}, {}
    for trial in all_seeds(preset, study):
        (measurement,) = trial.measurements
        if study.is_measured(trial, measurement):
            evaluation = study.evaluation(trial, measurement).evaluation
            key = (trial.about["budget"], trial.config.seed)
            masks[trial.name] = list(evaluation.masks.values())[-1]
            abouts[trial.name] = (trial.about["variant"], *key)
    lines = list(paired(masks, abouts))
    if lines:
        write_csv(study.results / f"{NAME}_paired.csv", lines)


def paired(
    masks: dict[str, np.ndarray], abouts: dict[str, tuple[str, int, int]]
) -> Iterator[dict[str, Any]]:
    """Compares each trial with the best of its budget and seed.

    Args:
        masks: Which images are correct, bool, by trial.
        abouts: Variant, budget and seed, by trial.
    """
    for name, mask in masks.items():
        same = [
            other for other in masks if abouts[other][1:] == abouts[name][1:]
        ]
        best = max(same, key=lambda other: masks[other].mean())
        if best != name:
            other = masks[best]
            only = int((mask & ~other).sum()), int((other & ~mask).sum())
            variant, budget, seed = abouts[name]
            yield {
                "variant": variant,
                "budget": budget,
                "seed": seed,
                "best": abouts[best][0],
                "only this": only[0],
                "only the best": only[1],
                "p": mcnemar(*only),
            }


Curve = list[tuple[float, float, float, float]]


def curves(rows: Iterable[Row]) -> dict[str, Curve]:
    """Returns for each variant, by time, the mean and range of its seeds."""
    groups: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        key = (row["variant"], row[TIME])
        groups.setdefault(key, []).append(decisive(row))
    found: dict[str, Curve] = {}
    for (variant, time), values in sorted(groups.items()):
        spread = (statistics.mean(values), min(values), max(values))
        found.setdefault(variant, []).append((time, *spread))
    return found


def draw(rows: Sequence[Row], _: Section) -> Figure:
    """Draws robust accuracy over training time, a panel for each family."""
    found = curves(rows)
    figure = Figure(figsize=(8, 6.6), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for panel, (family, variants) in zip(
        panels.flat, FAMILIES.items(), strict=True
    ):
        panel.set_title(family)
        shown = [name for name in variants if name in found]
        if REFERENCE in found and REFERENCE not in shown:
            _curve(panel, found[REFERENCE], REFERENCE, GREY, ".", ":")
        looks = zip(shown, COLORS, MARKERS, strict=False)
        for name, color, marker in looks:
            _curve(panel, found[name], name, color, marker)
        panel.set_xscale("log")
        budgets = sorted({row["budget"] for row in rows})
        panel.set_xticks(budgets, [str(budget) for budget in budgets])
        panel.minorticks_off()
        panel.grid(axis="y")
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=7)
    attack, eps = attacks_in(rows)[-1], 255 * radii_in(rows)[-1]
    for panel in panels[-1]:
        # The figure's own label is the note.
        panel.set_xlabel(f"training time, in epochs of {UNIT}")
    figure.supylabel(f"accuracy under {attack}, {eps:.0f}/255, %", fontsize=10)
    return figure


def _curve(
    panel: Axes,
    curve: Curve,
    name: str,
    color: str,
    marker: str,
    linestyle: str = "-",
) -> None:
    times, means, low, high = zip(*curve, strict=True)
    panel.plot(
        times, means, linestyle, marker=marker, color=color, label=name, ms=4
    )
    panel.vlines(times, low, high, color=color, linewidth=3, alpha=0.4)


EXPERIMENT = Experiment(
    NAME, "Robust accuracy against training time", "abstract and 4.5",
    trials, draw, also,
    later=more_seeds, at_most=most_seeds, published=all_seeds,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
