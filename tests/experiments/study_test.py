"""Trials are done once, and only what was asked for counts as done."""

import dataclasses
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from experiments.harness import study
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.files import read_json_object, sha256, write_json

ROOT = Path(__file__).parents[2]

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
    assert not place.is_settled(TRIAL)
    keep(place)
    assert place.is_settled(TRIAL)


def test_what_was_cut_off_is_not_done(place):
    keep(place, complete=False)
    assert not place.is_settled(TRIAL)


@pytest.mark.parametrize(
    "other",
    [{"settings": {**SETTINGS, "epochs": 3}}, {"flags": {"attacks": "pgd-5"}}],
)
def test_results_of_other_settings_are_refused(place, other):
    keep(place, **other)
    with pytest.raises(UsageError, match="is not what some/trial-0"):
        place.is_settled(TRIAL)


def write_metrics(run, rows):
    run.path.mkdir(parents=True)
    lines = ["epoch,step,images_per_second", *rows]
    run.metrics.write_text("\n".join(lines) + "\n")


def leave_networks(place, rows):
    """Leaves what a training leaves after these epochs."""
    run = place.run(TRIAL)
    write_metrics(run, rows)
    run.classifier("last").parent.mkdir()
    run.classifier("last").touch()
    write_json(run.config, {"settings": {"data_dir": "/home", "epochs": 2}})
    return run


def test_a_training_is_done_after_its_last_epoch(place):
    keep(place)
    run = leave_networks(place, ["1.0,10.0,128.0"])
    last = {"last": sha256(run.classifier("last"))}
    write_json(place.kept(TRIAL).path / study.NETWORK, last)
    assert not place.is_trained(TRIAL)
    with run.metrics.open("a") as file:
        file.write("2.0,20.0,64.0\n")
    assert place.is_trained(TRIAL)
    # What is kept is of networks that were lost: this is not kept yet.
    run.classifier("last").write_text("others")
    assert not place.is_trained(TRIAL)


def test_a_training_is_not_done_before_it_is_kept(place, monkeypatch):
    run = leave_networks(place, ["1.0,10.0,128.0", "2.0,20.0,64.0"])
    # A kill between its end and the copy.
    assert not place.is_trained(TRIAL)
    monkeypatch.setattr(study, "command", lambda *args, **flags: None)
    place.train(TRIAL)
    assert place.is_trained(TRIAL)
    kept = place.kept(TRIAL)
    assert kept.metrics.read_text() == run.metrics.read_text()
    settings = read_json_object(kept.config)["settings"]
    assert settings == {"data_dir": None, "epochs": 2}


def test_networks_that_are_gone_are_said_to_be(place, monkeypatch):
    run = leave_networks(place, ["1.0,10.0,128.0", "2.0,20.0,64.0"])
    assert not place.is_lost(TRIAL)
    monkeypatch.setattr(study, "command", lambda *args, **flags: None)
    place.train(TRIAL)
    assert not place.is_lost(TRIAL)
    shutil.rmtree(run.path)
    assert place.is_lost(TRIAL)


def test_what_was_measured_of_networks_that_are_gone_does_not_count(
    place, monkeypatch
):
    def command(*args, **flags):
        if not place.run(TRIAL).path.is_dir():
            leave_networks(place, ["2.0,20.0,64.0"])
            place.run(TRIAL).classifier("last").write_text(weights)

    monkeypatch.setattr(study, "command", command)
    # As older versions kept it, which did not say of which network it is.
    keep(place)
    assert place.is_measured(TRIAL, MEASUREMENT)
    weights = "first"
    place.train(TRIAL)
    assert not place.is_measured(TRIAL, MEASUREMENT)
    output = place.run(TRIAL).path.with_name("test")
    output.mkdir()
    write_json(output / "results.json", {"complete": True})
    (output / "masks.npz").touch()
    place.measure(TRIAL, MEASUREMENT)
    # The same training again, whose end was not kept.
    place.train(TRIAL)
    assert place.is_measured(TRIAL, MEASUREMENT)
    shutil.rmtree(place.run(TRIAL).path)
    assert place.is_measured(TRIAL, MEASUREMENT)
    weights = "second"
    place.train(TRIAL)
    assert not place.is_measured(TRIAL, MEASUREMENT)
    place.measure(TRIAL, MEASUREMENT)
    assert place.is_measured(TRIAL, MEASUREMENT)


def test_networks_of_other_settings_are_not_measured(place):
    keep(place, settings={**SETTINGS, "batch_size": 7})
    leave_networks(place, ["1.0,10.0,128.0", "2.0,20.0,64.0"])
    assert not place.is_trained(TRIAL)


@pytest.mark.parametrize("copies", [0, 1])
def test_a_copy_that_is_cut_off_is_not_done(place, monkeypatch, copies):
    keep(place)
    shutil.rmtree(place.kept(TRIAL).path / "test")
    leave_networks(place, ["2.0,20.0,64.0"])
    output = place.run(TRIAL).path.with_name("test")
    output.mkdir(parents=True)
    write_json(output / "results.json", {"complete": True})
    (output / "masks.npz").touch()
    monkeypatch.setattr(study, "command", lambda *args, **flags: None)
    copy, done = shutil.copyfile, []

    def killed(source, target):
        if len(done) == copies:
            Path(target).write_text("{")
            raise KeyboardInterrupt
        done.append(copy(source, target))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", killed)
        with pytest.raises(KeyboardInterrupt):
            place.measure(TRIAL, MEASUREMENT)
        assert not place.is_measured(TRIAL, MEASUREMENT)
    place.measure(TRIAL, MEASUREMENT)
    assert place.is_measured(TRIAL, MEASUREMENT)


def test_training_time_is_that_of_its_steps(place):
    kept = place.kept(TRIAL)
    write_metrics(kept, ["1.0,10.0,128.0", "2.0,20.0,1.0", "3.0,30.0,100.0"])
    config = TRIAL.config.replace(batch_size=TRIAL.config.batch_size + 1)
    write_json(kept.config, {"settings": dataclasses.asdict(config)})
    batch = config.batch_size
    # At the pace of the median epoch, whatever a pause did to another.
    assert place.training_seconds(TRIAL, 3) == 30 * batch / 100
    assert place.training_seconds(TRIAL, 2) == 20 * batch / 100


def test_a_failing_command_says_why(tmp_path):
    with pytest.raises(TfganRobustError, match=r"exit code 2: .*epochs=0"):
        study.command("train", tmp_path / "log", epochs=0)


def start_training(tmp_path):
    """Starts a process that trains for long, and waits for its first epoch."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from experiments.harness import study
from experiments.harness.runner import run_interruptibly
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
    return runner, run


@pytest.mark.slow
def test_an_interruption_reaches_the_command_and_is_awaited(tmp_path):
    runner, run = start_training(tmp_path)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait() == 77
    # The training had the time to leave what it goes on from.
    assert list(run.checkpoints.glob("*"))
    assert "stopped" in (run.path.parent / "train.log").read_text().lower()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux can do this.")
def test_a_training_ends_with_the_process_that_started_it(tmp_path):
    runner, run = start_training(tmp_path)
    runner.kill()
    assert runner.wait() == -signal.SIGKILL
    # The next start of the same waits here.
    with filelock.FileLock(run.path.with_name(".lock"), timeout=100):
        log = (run.path.parent / "train.log").read_text()
    assert "stopped" in log.lower()
    assert list(run.checkpoints.glob("*"))


def run_tied(folder, parent, module):
    tied = Path(study.__file__).with_name("tied.py")
    words = [sys.executable, "-P", tied, str(parent), folder / ".lock", module]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def test_a_module_runs_alone_and_as_a_command(tmp_path):
    (tmp_path / "probe.py").write_text("""
import filelock, sys
try:
    filelock.FileLock(".lock", blocking=False).acquire()
except filelock.Timeout:
    sys.exit(f"{__name__} of {len(sys.argv)}")
""")
    done = run_tied(tmp_path, os.getpid(), "probe")
    assert (done.returncode, done.stderr) == (1, "__main__ of 1\n")


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux can do this.")
def test_nothing_runs_for_a_process_that_is_gone(tmp_path):
    done = run_tied(tmp_path, 0, "platform")
    assert done.returncode == 1
    assert platform.system() not in done.stdout
