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
from typing import Any, NamedTuple

import damage
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfgan_robust import compare, evaluate, export, train
from tfgan_robust.reports.reading import read_evaluation
from tfgan_robust.serving import checking
from tfgan_robust.training.loop import Trainer
from tfgan_robust.training.records import MetricsFile

# Those of the commands that are no bug of ours; 3 is divergence.
CODES = (0, 1, 2, 4)
STOPPED = 143
SETTINGS = (
    "--classifier_width=0.05", "--generator_width=0.1", "--batch_size=32",
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
    ("run/smallest.npz", damage.ARRAYS, COMPARE, 250),
    ("run/progress.npz", damage.ARRAYS, EVALUATE, 150),
    ("run/results.json", damage.JSON, EVALUATE, 60),
    ("audited/results.json", damage.JSON, AUDIT, 40),
    ("run/config.json", damage.JSON, EVALUATE, 150),
    ("run/best/classifier.keras", damage.BYTES, EVALUATE, 100),
    ("run/best/generator_0.keras", damage.BYTES, EVALUATE, 100),
    ("images/test/dark/0.png", damage.BYTES, EVALUATE, 100),
    ("run/results.json", damage.JSON, EXPORT, 60),
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


def evaluated(folder):
    """What an evaluation found, by attack and radius, and what its audit."""
    found = read_evaluation(folder).evaluation
    return {
        (result.attack, result.eps): result.num_correct
        for result in found.results
    } | {("worst case", each.eps): each.num_correct for each in found.pointwise}


def audited(folder):
    """The verdicts, as far as they are there."""
    checks = read_evaluation(folder).evaluation.audit
    return [check.verdict for check in checks or ()]


def exported(folder):
    """What an export says of attacks; nothing if it says that it cannot."""
    (path,) = folder.glob("served/1/**/tfgan_robust.json")
    robustness = json.loads(path.read_text())["robustness"]
    return robustness and {
        (result["attack"], result["eps"]): result["num_correct"]
        for result in robustness["results"]
    }


def trained(folder):
    """The end of a run: all numbers of it, and its last row."""
    path = tf.train.latest_checkpoint(folder / "checkpoints")
    reader = tf.train.load_checkpoint(path)
    numbers = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith(("networks", "optimizers"))
    }
    last = MetricsFile(folder / "metrics.csv", 2).rows[-1]
    last.pop("images_per_second")
    return {**numbers, **last}


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


def differs(command, folder, output, whole):
    """Says how what a command left is not what it leaves undamaged."""
    if command is TRAIN:
        if "resuming at step" not in output:
            return "begun anew"
        found, truth = trained(folder / "run"), end_of(whole)
        # Threads add up in any order.
        same = found.keys() == truth.keys() and all(
            np.allclose(found[name], truth[name], rtol=1e-3, atol=1e-5)
            for name in truth
        )
        return "" if same else "another end"
    if command is EXPORT:
        found = exported(folder)
        truth = evaluated(whole / "run")
        same = found is None or found.items() <= truth.items()
        return "" if same else "another figure"
    found, truth = (
        evaluated(root / command.folder) for root in (folder, whole)
    )
    verdicts, due = (audited(root / command.folder) for root in (folder, whole))
    same = found == truth and (verdicts == due or not verdicts)
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
                problem = differs(command, folder, output, whole)
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
