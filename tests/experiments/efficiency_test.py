"""What the comparison of methods is made of, without its trainings."""

import csv
import json
import sys
from pathlib import Path

import pytest

from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
efficiency = pytest.importorskip("experiments.efficiency")
collapse = pytest.importorskip("experiments.collapse")


@pytest.mark.parametrize("variant", efficiency.VARIANTS)
def test_every_variant_is_a_configuration(variant):
    trial = efficiency.Trial(variant, 10, 3)
    costs = dict.fromkeys(efficiency.VARIANTS, 1.0)
    config = resolve(efficiency.settings_of(trial, costs))
    assert (config.epochs, config.seed) == (10, 3)
    assert config.eps == config.eval_eps == 8 / 255


def test_methods_train_for_the_same_time():
    costs = {"fgsm": 2.0, "gan": 3.0, "pgd-7": 50.0}
    epochs = [
        efficiency.settings_of(efficiency.Trial(name, 30, 0), costs)["epochs"]
        for name in costs
    ]
    assert epochs == [30, 20, 1]


def test_names_of_folders_are_those_of_trials(tmp_path):
    trials = {
        efficiency.Trial(variant, budget, seed)
        for variant in efficiency.VARIANTS
        for budget, seed in ((10, 0), (30, 2))
    }
    assert len({trial.name for trial in trials}) == len(trials)
    for trial in trials:
        folder = tmp_path / trial.name / "validation"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text('{"complete": true}')
    stopped = tmp_path / "gan-50-0" / "validation"
    stopped.mkdir(parents=True)
    (stopped / "results.json").write_text('{"complete": false}')
    found = dict(efficiency.done(tmp_path, "validation"))
    assert found.keys() == trials
    assert all(path.parent.name == t.name for t, path in found.items())


def test_a_curve_has_mean_and_range_of_its_seeds():
    trials = [
        {"variant": "gan", "budget": 10, "autoattack-fast": 0.25},
        {"variant": "gan", "budget": 30, "autoattack-fast": 0.35},
        {"variant": "gan", "budget": 10, "autoattack-fast": 0.75},
    ]
    curves = efficiency.curves(trials)
    assert curves == {"gan": [(10, 50, 25, 75), (30, 35, 35, 35)]}
    figure = efficiency.draw(trials, "a note")
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == list(efficiency.FAMILIES)


def test_each_trial_is_compared_with_the_best_of_its_time():
    import numpy as np

    best, other = np.ones(20, bool), np.arange(20) >= 12
    masks = {
        efficiency.Trial("gan", 10, 0): other,
        efficiency.Trial("fgsm", 10, 0): best,
        efficiency.Trial("fgsm", 30, 0): other,
    }
    (row,) = efficiency.paired(masks)
    assert (row["variant"], row["best"]) == ("gan", "fgsm")
    assert (row["only this"], row["only the best"]) == (0, 12)
    assert row["p"] == pytest.approx(2 / 2**12)


def test_a_collapse_is_less_than_half_of_the_best_so_far(tmp_path):
    run = RunDirectory(tmp_path)
    with run.metrics.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "val_fgsm_accuracy", "val_pgd_accuracy"])
        for epoch, pgd in enumerate(["0.2", "", "0.4", "0.19", "0.3"], 1):
            writer.writerow([float(epoch), pgd and "0.5", pgd])
    alarm = {"epoch": 4, "name": "pgd_collapses", "message": "it did"}
    run.alarms.write_text(json.dumps([alarm]))
    found = collapse.history(run)
    assert found["fallen"] == [4]
    assert found["alarms"] == [(4, "pgd_collapses")]
    assert found["pgd"] == [0.2, 0.4, 0.19, 0.3]
    assert found["epochs"] == 5
