"""Thousands of damaged files: a right result, or one line and an exit code.

What a command reads is damaged at random, and the command is run, in this
process, by its `main`. It may find that nothing is lost, or end in one line.
It may not end in a traceback, begin a run anew, or print a figure that no
evaluation gave.
"""

import functools
import json
import shutil
import sys
import traceback
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import damage
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfgan_robust import compare, evaluate, export, train
from tfgan_robust.errors import UsageError
from tfgan_robust.reports.page import write_report
from tfgan_robust.reports.reading import parse_evaluation, read_evaluation
from tfgan_robust.serving import checking
from tfgan_robust.training.loop import Trainer
from tfgan_robust.training.records import MetricsFile

# Those of the commands that are no bug of ours; 3 is divergence.
CODES = (0, 1, 2, 4)
STOPPED = 143
SETTINGS = (
    "--classifier_width=0.05", "--method=gan",
    "--generator_width=0.1", "--batch_size=32",
    "--train_images=64", "--eval_images=16", "--epochs=2", "--eval_every=1",
    "--checkpoint_every=1", "--report_images=0", "--precision=float32",
    "--image_size=16", "--dataset=folder", "--data_dir=images",
)  # fmt: skip
# Of its four steps the last is missing, in the second epoch.
LAST_STEP = 3
EVALUATION = (
    "--run_dir=run", "--attacks=fgsm,generators", "--eps=0.1",
    "--num_images=20",
)  # fmt: skip


class Command(NamedTuple):
    """A command, and where it leaves its figures."""

    module: Any
    arguments: tuple[str, ...]
    folder: str = "run"


def draw_page():
    """Writes the page on an evaluation, and ends as a command does."""
    try:
        write_report(Path("run"))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(0)


PAGE = Command(SimpleNamespace(main=draw_page, __name__="page"), ())
COMPARE = Command(compare, ("run",))
DRAW = Command(compare, ("audited", "--output=compared"), "audited")
EVALUATE = Command(evaluate, (*EVALUATION, "--audit=false"))
AUDIT = Command(
    evaluate,
    (*EVALUATION, "--audit_images=8", "--undefended=none", "--output=audited"),
    "audited",
)
EXPORT = Command(export, ("--run_dir=run", "--output=served"))
TRAIN = Command(train, ("--run_dir=run", *SETTINGS))
# Each file, the damage, the command that reads it, the cases.
CASES = (
    ("run/results.json", damage.JSON, COMPARE, 600),
    ("audited/results.json", damage.JSON, DRAW, 200),
    ("run/masks.npz", damage.ARRAYS, COMPARE, 450),
    ("run/masks.npz", damage.ARRAYS, PAGE, 100),
    ("run/smallest.npz", damage.ARRAYS, PAGE, 250),
    ("run/progress.npz", damage.ARRAYS, EVALUATE, 150),
    ("run/results.json", damage.JSON, EVALUATE, 60),
    ("audited/results.json", damage.JSON, AUDIT, 40),
    ("run/config.json", damage.JSON, EVALUATE, 150),
    ("run/best/classifier.keras", damage.BYTES, EVALUATE, 100),
    ("run/best/generator_0.keras", damage.BYTES, EVALUATE, 100),
    ("images/test/dark/0.png", damage.BYTES, EVALUATE, 100),
    ("run/results.json", damage.JSON, EXPORT, 60),
    ("run/config.json", damage.JSON, EXPORT, 60),
    ("run/metrics.csv", damage.ROWS, TRAIN, 40),
    ("run/checkpoints/checkpoint", damage.BYTES, TRAIN, 10),
    ("run/checkpoints/ckpt-3.index", damage.BYTES, TRAIN, 10),
    ("run/checkpoints/ckpt-3.data-00000-of-00001", damage.BYTES, TRAIN, 10),
    ("images/train/dark/0.png", damage.BYTES, TRAIN, 20),
)


def draw_images(folder):
    """Two classes that are told apart by their brightness."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 15)):
        for name, level in (("dark", 60), ("light", 190)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(level - 60, level + 60, (16, 16, 3))
                image = PIL.Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / split / name / f"{number}.png")


def call(command):
    """Runs a command as its module does; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *command.arguments])
        # Of results.json a process of its own sees nothing.
        patch.setattr(checking, "check_export", lambda *_: 0.0)
        try:
            command.module.main()
        except SystemExit as end:
            return end.code or 0
    raise AssertionError("a command ends by an exit")


def found_in(evaluation):
    """What an evaluation found, and what it says of that."""
    audit = evaluation.audit
    return {
        "results": {
            (result.attack, result.eps): result.num_correct
            for result in evaluation.results
        },
        "pointwise": {e.eps: e.num_correct for e in evaluation.pointwise},
        "stored": {e.eps: e.num_correct for e in evaluation.stored},
        "audit": audit and {check.check: check.verdict for check in audit},
        "notes": evaluation.notes,
    }


def evaluated(folder):
    return found_in(read_evaluation(folder).evaluation)


def exported(folder):
    """What an export says of attacks."""
    (path,) = folder.glob("served/1/**/tfgan_robust.json")
    robustness = json.loads(path.read_text())["robustness"]
    return robustness and found_in(parse_evaluation(robustness, "it")[0])


def page(folder):
    return (folder / "run" / "evaluation.md").read_text("utf-8")


def seconds(folder):
    """How long each attack took, which tells one measurement from another."""
    results = read_evaluation(folder).evaluation.results
    return [result.seconds for result in results]


def trained(folder):
    """The end of a run: all numbers of it, and of its rows."""
    path = tf.train.latest_checkpoint(folder / "checkpoints")
    reader = tf.train.load_checkpoint(path)
    numbers = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith(("networks", "optimizers"))
    }
    rows = {
        f"{name} of epoch {row['epoch']}": value
        for row in MetricsFile(folder / "metrics.csv", 2).rows
        for name, value in row.items()
        if name != "images_per_second"
    }
    return {**numbers, **rows}


def build(folder):
    """Trains and measures below a folder."""
    draw_images(folder / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (TRAIN, EVALUATE, AUDIT):
            assert call(command) == 0
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two epochs, and evaluations of it, one with an audit."""
    return build(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The same run, stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    draw_images(folder / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(
            Trainer,
            "_asked_to_stop",
            lambda self, _: STOPPED if self._step == LAST_STEP else 0,
        )
        assert call(TRAIN) == STOPPED
    return folder


def wrong(code, output, errors):
    """Says what is not as it should be, or nothing."""
    if code not in CODES:
        return f"exit {code}"
    lines = [
        line
        for line in errors.splitlines()
        if not line.startswith(("WARNING", "NOTE", "W0", "E0"))
    ]
    if "Traceback" in output + errors:
        return "a traceback"
    if code != 0 and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return f"{len(lines)} lines of errors: {errors[:300]}"
    return ""


def differs(command, folder, output, errors, whole):
    """Says how what a command left is not what it leaves undamaged."""
    if command is TRAIN:
        if "resuming at step" not in output:
            return "begun anew"
        resumed = f"resuming at step {LAST_STEP} " in output
        if not resumed and "is damaged" not in output + errors:
            return "steps were made again, unsaid"
        found, truth = trained(folder / "run"), end_of(whole)
        # Threads add up in any order.
        same = found.keys() == truth.keys() and all(
            np.allclose(found[name], truth[name], rtol=1e-3, atol=1e-5)
            for name in truth
        )
        return "" if same else "another end"
    there, due = folder / command.folder, whole / command.folder
    if command is EXPORT:
        same = exported(folder) == evaluated(due)
    elif command is PAGE:
        same = page(folder) == page(whole)
    else:
        same = evaluated(there) == evaluated(due)
        again = seconds(there) != seconds(due)
        if again and "is measured again" not in output + errors:
            return "measured again, unsaid"
    return "" if same else "another figure"


@functools.cache
def end_of(whole):
    """How the run ends that was never stopped."""
    return trained(whole / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kinds", "command", "count"),
    CASES,
    ids=[f"{c.module.__name__.split('.')[-1]} {n}" for n, _, c, _ in CASES],
)
def test_damage_is_noticed(
    whole, stopped, name, kinds, command, count, tmp_path, monkeypatch, capfd,
    request,
):  # fmt: skip
    original = stopped if command is TRAIN else whole
    count = request.config.getoption("--fuzz-cases") or count
    found = []
    for case in range(count):
        rng = np.random.default_rng([zlib.crc32(name.encode()), case])
        folder = tmp_path / str(case)
        shutil.copytree(original, folder)
        kind = kinds[rng.integers(len(kinds))]
        path = folder / name
        path.write_bytes(kind(path.read_bytes(), rng))
        monkeypatch.chdir(folder)
        capfd.readouterr()
        try:
            code = call(command)
            output, errors = capfd.readouterr()
            problem = wrong(code, output, errors)
            if not problem and code == 0:
                problem = differs(command, folder, output, errors, whole)
        # What a user would see as a traceback, whatever it is.
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{type(error).__name__}: {error} at {where}"[:400]
        if problem:
            found.append(f"case {case}, {kind.__name__}: {problem}")
        monkeypatch.chdir(original)
        shutil.rmtree(folder)
    assert not found, "\n".join(found)
