"""Trials are done once, and only what was asked for counts as done."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.files import write_json

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
study = pytest.importorskip("experiments.study")

SETTINGS = {"dataset": "digits", "method": "natural", "epochs": 2}
MEASUREMENT = study.Measurement("test", {"attacks": "fgsm", "audit": False})
TRIAL = study.Trial("some/trial-0", SETTINGS, (MEASUREMENT,))


@pytest.fixture
def place(tmp_path):
    return study.Study(tmp_path / "runs", tmp_path / "results")


def keep(place, *, complete=True, settings=SETTINGS, flags=MEASUREMENT.flags):
    """Leaves what a measurement leaves."""
    folder = place.kept(TRIAL).path
    (folder / "test").mkdir(parents=True)
    write_json(folder / "settings.json", settings)
    write_json(folder / "test" / "flags.json", flags)
    write_json(folder / "test" / "results.json", {"complete": complete})


def test_what_is_kept_counts_without_any_network(place):
    assert not place.is_done(TRIAL)
    keep(place)
    assert place.is_done(TRIAL)


def test_what_was_cut_off_is_not_done(place):
    keep(place, complete=False)
    assert not place.is_done(TRIAL)


@pytest.mark.parametrize(
    "other",
    [{"settings": {**SETTINGS, "epochs": 3}}, {"flags": {"attacks": "pgd-5"}}],
)
def test_results_of_other_settings_are_refused(place, other):
    keep(place, **other)
    with pytest.raises(UsageError, match="is not what some/trial-0"):
        place.is_done(TRIAL)


def write_metrics(run, rows):
    run.path.mkdir(parents=True)
    lines = ["epoch,step,images_per_second", *rows]
    run.metrics.write_text("\n".join(lines) + "\n")


def test_a_training_is_done_after_its_last_epoch(place):
    run = place.run(TRIAL)
    write_metrics(run, ["1.0,10.0,128.0"])
    run.classifier("last").parent.mkdir()
    run.classifier("last").touch()
    assert not place.is_trained(TRIAL)
    with run.metrics.open("a") as file:
        file.write("2.0,20.0,64.0\n")
    assert place.is_trained(TRIAL)


def test_training_time_is_that_of_its_steps(place):
    write_metrics(place.kept(TRIAL), ["1.0,10.0,128.0", "2.0,20.0,64.0"])
    batch = TRIAL.config.batch_size
    assert place.training_seconds(TRIAL) == 10 * batch * (1 / 128 + 1 / 64)


def test_a_failing_command_says_why(tmp_path):
    with pytest.raises(TfganRobustError, match=r"exit code 2: .*epochs=0"):
        study.command("train", tmp_path / "log", epochs=0)


def test_an_interruption_reaches_the_command_and_is_awaited(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from experiments import study
from experiments.runner import run_interruptibly
trial = study.Trial(
    "long-0",
    {{"dataset": "digits", "method": "natural", "epochs": 500}},
    (study.Measurement("test", {{}}),),
)
folder = Path({str(tmp_path)!r})
place = study.Study(folder / "runs", folder / "results")
try:
    run_interruptibly(place, [trial], lambda trial: None)
except KeyboardInterrupt:
    sys.exit(77)
"""
    runner = subprocess.Popen([sys.executable, "-c", script])
    run = study.RunDirectory(tmp_path / "runs" / "long-0" / "run")
    while not run.metrics.exists():
        assert runner.poll() is None
        time.sleep(0.1)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait() == 77
    # The training had the time to leave what it goes on from.
    assert list(run.checkpoints.glob("*"))
    assert "stopped" in (run.path.parent / "train.log").read_text().lower()
