"""What is missing is done, in order, whatever fails in between."""

import sys
from pathlib import Path

import pytest

from tfgan_robust.errors import TfganRobustError

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
runner = pytest.importorskip("experiments.runner")
study = pytest.importorskip("experiments.study")

SETTINGS = {"dataset": "digits", "method": "natural", "epochs": 2}


def trial(name, *measurements, **changes):
    return study.Trial(
        name,
        SETTINGS,
        tuple(study.Measurement(m, {"attacks": m}) for m in measurements),
        **changes,
    )


class Pretended(study.Study):  # type: ignore[name-defined]
    """Notes what it is told to do."""

    def __init__(self, done=(), failing=(), trained=()):
        super().__init__(Path("runs"), Path("results"))
        self.__dict__.update(
            done=set(done), failing=set(failing), calls=[],
            trained=set(trained),
        )  # fmt: skip

    def is_measured(self, trial, measurement):
        return f"{trial.name} {measurement.name}" in self.done

    def is_trained(self, trial):
        return trial.name in self.trained

    def train(self, trial):
        self._do(f"train {trial.name}")
        self.trained.add(trial.name)

    def measure(self, trial, measurement):
        self._do(f"{trial.name} {measurement.name}")
        self.done.add(f"{trial.name} {measurement.name}")

    def _do(self, what):
        self.calls.append(what)
        if what in self.failing:
            raise TfganRobustError("it did not work")


def test_only_what_is_missing_is_done():
    place = Pretended(done=["a fgsm"], trained=["b"])
    trials = [trial("a", "fgsm"), trial("b", "fgsm"), trial("c", "pgd-5")]
    assert runner.run(place, trials, say=lambda line: None) == []
    assert place.calls == ["b fgsm", "train c", "c pgd-5"]
    place.calls.clear()
    runner.run(place, trials, say=lambda line: None)
    assert place.calls == []


def test_experiments_share_trainings_and_measurements():
    place = Pretended()
    trials = [trial("a", "fgsm"), trial("a", "fgsm", "pgd-5")]
    runner.run(place, trials, say=lambda line: None)
    assert place.calls == ["train a", "a fgsm", "a pgd-5"]


def test_networks_that_are_needed_are_trained_again():
    place = Pretended(done=["a fgsm"])
    runner.run(
        place, [trial("a", "fgsm", keeps_networks=True)],
        say=lambda line: None,
    )  # fmt: skip
    assert place.calls == ["train a"]


def test_a_failed_training_keeps_only_its_measurements_from_being_done():
    place = Pretended(failing=["train a", "b fgsm"])
    said = []
    trials = [trial("a", "fgsm"), trial("b", "fgsm", "pgd-5"), trial("c", "f")]
    failed = runner.run(place, trials, say=said.append)
    assert place.calls == [
        "train a", "train b", "b fgsm", "b pgd-5", "train c", "c f",
    ]  # fmt: skip
    assert failed == ["a: it did not work", "measure b, fgsm: it did not work"]
    assert said[0] == "[1 of 7] train a"
    assert "  skipped: its training failed" in said


def test_time_left_comes_from_what_others_took():
    clock = runner.Clock()
    jobs = [runner.Job(trial("a", "fgsm"), None)] * 3
    assert clock.left(jobs) == ""
    clock.took(jobs[0], 60)
    assert clock.left(jobs[1:]) == ", about 2.0 min left"
    other = runner.Job(trial("a", "fgsm"), study.Measurement("test", {}))
    assert clock.left([*jobs[1:], other]) == ", at least 2.0 min left"
