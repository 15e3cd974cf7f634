"""Every preset is a set of configurations that the commands take."""

import os

import pytest

from experiments import directions, formulations, run_all
from experiments.harness import apart, options, seconds, study, variants
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.files import write_json


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(
        seconds,
        "measured",
        lambda file, wanted, steps=0: {seconds.key(s): 1.0 for s in wanted},
    )
    return study.Study(tmp_path / "runs", tmp_path / "results")


@pytest.mark.parametrize("name", ["smoke", "cpu", "paper"])
def test_trials_can_be_run(place, name):
    preset = options.Preset.load(name)
    settings = {}
    for experiment in run_all.EXPERIMENTS:
        trials = experiment.trials(preset, place)
        assert trials
        for trial in trials:
            config = trial.config
            assert settings.setdefault(trial.name, config) == config
            for measurement in trial.measurements:
                flags = EvaluateSettings(run_dir="r", **measurement.flags)
                kept = flags.checkpoint.removeprefix("epoch-")
                if kept.isdigit():
                    assert int(kept) % config.keep_every == 0
                    assert int(kept) <= config.epochs


def test_paper_trains_what_the_paper_states(place):
    preset = options.Preset.load("paper")
    trials = {
        trial.name: trial.config
        for experiment in run_all.EXPERIMENTS
        for trial in experiment.trials(preset, place)
    }
    grad_x = trials["formulations/grad_x-paper-0"]
    assert (grad_x.epochs, grad_x.preset) == (100, "paper")
    assert grad_x.generator_width == grad_x.classifier_width == 1.0
    long = trials["epochs/grad-x2-0"]
    assert (long.epochs, long.generator_width) == (300, 2.0)


@pytest.mark.parametrize("name", ["cpu", "paper"])
def test_generators_meet_their_controls_in_equal_time(name):
    section = options.Preset.load(name).section("efficiency")
    for names in (section["variants"], section["longer"]):
        for family in variants.FAMILIES.values():
            assert set(family) & set(names)
        if "start x, paired" in names:
            assert "start noise, paired" in names
    assert set(section["longer"]) <= set(section["variants"])


def test_baseline_and_ours_come_before_the_paper(place):
    preset = options.Preset.load("cpu")
    found = [
        (trial.about["formulation"], trial.about["settings by"])
        for trial in formulations.EXPERIMENT.trials(preset, place)
    ]
    assert found[:3] == [
        ("baseline", "paper"), ("x", "ours"), ("grad_x", "paper"),
    ]  # fmt: skip
    assert len(set(found)) == len(found) == 9


def test_only_directions_need_the_networks_of_the_long_run(place):
    preset = options.Preset.load("cpu")
    for experiment in run_all.EXPERIMENTS:
        for trial in experiment.trials(preset, place):
            assert trial.keeps_networks == (experiment.name == "directions")


def test_directions_are_kept_for_what_was_asked_alone(place):
    preset = options.Preset.load("cpu")
    (trial,) = directions.trials(preset, place)
    own = preset.section("directions").own
    place.results.mkdir()
    (place.results / "directions.npz").touch()
    file = place.results / "directions.json"
    write_json(file, {"asked": {**own, "training": trial.settings}})
    assert directions.trials(preset, place) == []
    other = {**preset.stored, "directions": {**own, "checkpoint": "last"}}
    for changed in (other, {**preset.stored, "epochs": {"training": {}}}):
        with pytest.raises(TfganRobustError, match="asks for now"):
            directions.trials(options.Preset("cpu", changed), place)


def test_equal_time_is_counted_in_epochs_of_the_unit(tmp_path, monkeypatch):
    known = {"epsilon": 1.0, "pgd": 4.0, "slow": 100.0}
    wanted = {name: {"method": name} for name in known}
    monkeypatch.setattr(
        seconds,
        "measured",
        lambda file, settings, steps=0: {
            seconds.key(each): known[each["method"]] for each in settings
        },
    )
    found = seconds.equal_time(tmp_path / "costs.json", wanted, "epsilon", 10)
    assert found == {
        "epsilon": ({"method": "epsilon", "epochs": 10}, 10),
        "pgd": ({"method": "pgd", "epochs": 2}, 8),
        "slow": ({"method": "slow", "epochs": 1}, 100),
    }


def test_seeds_and_epochs_change_no_step():
    one = {"method": "fgsm", "epochs": 1, "seed": 2, "classifier_width": 0.5}
    other = {"classifier_width": 0.5, "method": "fgsm", "epochs": 7}
    assert seconds.key(one) == seconds.key(other)
    assert seconds.key(one) != seconds.key({**one, "classifier_width": 1.0})
    assert seconds.key(one) == seconds.key({**one, "eps": "16/255"})


def test_steps_are_timed_in_a_process_of_their_own():
    assert apart.apart(os.getpid) != os.getpid()
    with pytest.raises(TfganRobustError, match=r"failed .*: invalid literal"):
        apart.apart(int, "one")
    with pytest.raises(TfganRobustError, match="failed in a process"):
        apart.apart(os._exit, 1)
