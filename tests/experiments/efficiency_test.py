"""What the comparison of methods is made of, without its trainings."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tfgan_robust.runs.directory import RunDirectory

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
efficiency = pytest.importorskip("experiments.efficiency")
collapse = pytest.importorskip("experiments.collapse")


def row(variant, budget, accuracy, seed=0):
    return {
        "variant": variant,
        "budget": budget,
        "seed": seed,
        "accuracy": [
            {"attack": "clean", "eps": 0.0, "accuracy": 0.9},
            {"attack": "pgd-20", "eps": 0.1, "accuracy": 0.8},
            {"attack": "autoattack-fast", "eps": 0.1, "accuracy": accuracy},
        ],
    }


def test_a_curve_has_mean_and_range_of_its_seeds():
    rows = [row("gan", 10, 0.25), row("gan", 30, 0.35), row("gan", 10, 0.75, 1)]
    curves = efficiency.curves(rows)
    assert curves == {"gan": [(10, 50, 25, 75), (30, 35, 35, 35)]}
    figure = efficiency.draw(rows, None)
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == list(efficiency.FAMILIES)


def test_each_trial_is_compared_with_the_best_of_its_time():
    best, other = np.ones(20, bool), np.arange(20) >= 12
    masks = {"a": other, "b": best, "c": other}
    abouts = {"a": ("gan", 10, 0), "b": ("fgsm", 10, 0), "c": ("fgsm", 30, 0)}
    (line,) = efficiency.paired(masks, abouts)
    assert (line["variant"], line["best"]) == ("gan", "fgsm")
    assert (line["only this"], line["only the best"]) == (0, 12)
    assert line["p"] == pytest.approx(2 / 2**12)


def test_names_of_trainings_differ():
    names = {
        efficiency.trial_name(variant, budget, seed)
        for variant in efficiency.VARIANTS
        for budget in (10, 30)
        for seed in (0, 1)
    }
    assert len(names) == 4 * len(efficiency.VARIANTS)
    assert efficiency.trial_name("gan, as it was", 10, 2) == (
        "efficiency/gan-as-it-was-10-2"
    )


def test_a_collapse_is_less_than_half_of_the_best_so_far(tmp_path):
    run = RunDirectory(tmp_path)
    lines = ["epoch,val_fgsm_accuracy,val_pgd_accuracy"]
    for epoch, pgd in enumerate(["0.2", "", "0.4", "0.19", "0.3"], 1):
        lines.append(f"{epoch}.0,{pgd and '0.5'},{pgd}")
    run.metrics.write_text("\n".join(lines) + "\n")
    alarm = {"epoch": 4, "name": "pgd_collapses", "message": "it did"}
    run.alarms.write_text(json.dumps([alarm]))
    found = collapse.history(run)
    assert found["fallen"] == [4]
    assert found["alarms"] == [(4, "pgd_collapses")]
    assert found["pgd"] == [0.2, 0.4, 0.19, 0.3]
    assert found["at"] == [1, 3, 4, 5]
