"""Several experiments go to their end, whatever stops or fails on the way."""

import dataclasses
import subprocess
import sys
from pathlib import Path

from pretended import Pretended, trial

from experiments.harness import command, experiment
from tfgan_robust.runs.directory import RunDirectory, locked

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Noted(experiment.Experiment):
    """Has no files, and notes how much was done when they were due."""

    fails: bool = False

    def publish(self, preset, study):
        study.calls.append(f"publish {self.name}")
        if self.fails:
            raise RuntimeError("no ink")


def noted(name, *trials, **changes):
    return Noted(name, name, "", lambda *_: trials, None, **changes)


def asking(preset, study):
    """Asks for one more trial when the first are settled."""
    settled = all(study.is_settled(each) for each in FIRST)
    return [trial("more", "fgsm")] if settled else []


FIRST = trial("a", "fgsm"), trial("b", "fgsm")
BOTH = noted("one", *FIRST, later=asking), noted("two", trial("c", "fgsm"))


def jobs(place):
    return [call for call in place.calls if not call.startswith("publish")]


def test_what_failed_keeps_nothing_from_being_asked_for():
    place = Pretended(failing=["train a"])
    failed = command.perform(BOTH, None, place)
    assert failed == ["train a: it did not work"]
    assert jobs(place)[-2:] == ["train more", "measure more, fgsm"]
    assert place.calls.count("train a") == 1


def test_the_order_does_not_depend_on_stops():
    whole = Pretended()
    assert command.perform(BOTH, None, whole) == []
    assert len(jobs(whole)) == 8
    for count in range(8):
        rest = Pretended(done=jobs(whole)[:count])
        command.perform(BOTH, None, rest)
        assert jobs(rest) == jobs(whole)[count:]


def test_a_figure_that_fails_keeps_nothing_from_being_done(capsys):
    place = Pretended()
    bad = noted("bad", trial("a", "fgsm"), fails=True)
    good = noted("good", trial("b", "fgsm"))
    failed = command.perform([bad, good], None, place)
    assert failed == ["publish bad: RuntimeError: no ink"]
    assert "measure b, fgsm" in place.calls
    assert place.calls[-1] == "publish good"
    assert "Traceback" in capsys.readouterr().err


def test_files_are_written_after_each_job():
    place = Pretended()
    command.perform(BOTH, None, place)
    assert place.calls[:3] == ["train a", "publish one", "measure a, fgsm"]


def test_what_is_beside_rows_and_a_figure_is_written_on_the_way():
    place, seen = Pretended(), []
    beside = experiment.Experiment(
        "beside", "", "",
        lambda *_: [trial("a", keeps_networks=True)], None,
        also=lambda preset, study: seen.append(list(jobs(study))),
    )  # fmt: skip
    command.perform([beside, noted("other", trial("b"))], None, place)
    assert seen[0] == ["train a"]


def test_one_process_works_for_the_same_results(tmp_path):
    with locked(RunDirectory(tmp_path)):
        done = subprocess.run(
            [
                sys.executable, "-m", "experiments.precision",
                "--preset=smoke", f"--results={tmp_path}",
                f"--runs={tmp_path / 'runs'}",
            ],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert "Another process is training" in done.stderr
    assert not (tmp_path / "runs").exists()
