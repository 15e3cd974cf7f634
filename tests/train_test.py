"""The training's command line: what a person sees on the way, and its end."""

import os
import pty
import re
import shlex
import subprocess
import sys
import termios

import pytest
from saved import save_run

from tfgan_robust import train
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.stored import load_run_config


def test_a_training_ends_in_its_table_and_what_comes_next(tmp_path, capsys):
    folder = tmp_path / "my run"
    save_run(folder / "baseline", method="natural")
    save_run(folder, formulation="grad_x")
    plan = [
        (RunDirectory(path), load_run_config(path))
        for path in (folder / "baseline", folder)
    ]
    flags = train.TrainFlags(report_attacks="fgsm", report_images=20)
    train._report(plan, flags)
    *before, where, following = capsys.readouterr().out.splitlines()
    table = [line for line in before if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in table] == [
        "classifier", "----------", "natural", "natural", "grad_x", "grad_x",
    ]  # fmt: skip
    told = [n for n, line in enumerate(before) if line.startswith("fgsm eps ")]
    assert len(told) == 6 and told[-1] < before.index(table[0])
    shown = shlex.join(["tensorboard", "--logdir", str(folder)])
    assert where == f"the run is in {folder}; see it with {shown}"
    assert shlex.split(following) == [
        "next:", "python", "-m", "tfgan_robust.evaluate",
        f"--run_dir={folder}", "--attacks=autoattack",
    ]  # fmt: skip


def seen_in_a_terminal(*command):
    """Returns a command's exit code, and what a terminal is told."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 160))
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        told = b""
        try:
            while part := os.read(ours, 4096):
                told += part
        except OSError:
            pass  # The other end was closed.
    os.close(ours)
    return process.returncode, told.decode()


@pytest.mark.slow
def test_a_terminal_shows_a_bar_with_the_time_that_is_left(tmp_path):
    code, shown = seen_in_a_terminal(
        sys.executable, "-m", "tfgan_robust.train", "--dataset=digits",
        "--classifier_width=0.05", "--method=gan",
        "--generator_width=0.1", "--epochs=2",
        "--precision=float32", "--report_images=20", "--report_attacks=fgsm",
        f"--run_dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert code == 0, shown
    bars = re.findall(
        r"\rrun: .* (\d+)/(\d+) \[\d\d:\d\d<\d\d:\d\d, .*loss=", shown
    )
    assert any(int(step) < int(steps) for step, steps in bars), shown
    lines = shown.splitlines()
    assert any(line.startswith("epoch 2/2, loss ") for line in lines)
    assert lines[-2].startswith("the run is in ")
    assert lines[-1].endswith(" --attacks=autoattack")
