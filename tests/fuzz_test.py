"""Thousands of damaged files: a right result, or one line and an exit code.

What a command reads is damaged at random, and the command is run, in this
process, by its `main`. It may find that nothing is lost, or end in one line.
It may not end in a traceback, begin a run anew, or print a figure that no
evaluation gave.
"""

import shutil
import sys
import traceback
import zlib

import damage
import numpy as np
import PIL.Image
import pytest

from tfgan_robust import compare, evaluate, train
from tfgan_robust.reports.reading import read_evaluation

# Those of the commands that are no bug of ours; 3 is divergence.
CODES = (0, 1, 2, 4)
SETTINGS = (
    "--classifier_width=0.05", "--generator_width=0.1", "--batch_size=32",
    "--train_images=64", "--eval_images=16", "--epochs=2", "--eval_every=1",
    "--checkpoint_every=1", "--report_images=0", "--precision=float32",
    "--image_size=16", "--dataset=folder", "--data_dir=images",
)  # fmt: skip
EVALUATION = (
    "--run_dir=run", "--attacks=fgsm,generators", "--eps=0.1", "--audit=false",
    "--num_images=20",
)  # fmt: skip
COMPARE = (compare, ["run"])
EVALUATE = (evaluate, EVALUATION)
TRAIN = (train, ["--run_dir=run", *SETTINGS])
# For each file: the damage, the command, the cases.
CASES = {
    "run/results.json": (damage.JSON, COMPARE, 600),
    "run/masks.npz": (damage.ARRAYS, COMPARE, 450),
    "run/smallest.npz": (damage.ARRAYS, COMPARE, 250),
    "run/progress.npz": (damage.ARRAYS, EVALUATE, 150),
    "run/config.json": (damage.JSON, EVALUATE, 150),
    "run/best/classifier.keras": (damage.BYTES, EVALUATE, 100),
    "run/best/generator_0.keras": (damage.BYTES, EVALUATE, 100),
    "images/test/dark/0.png": (damage.BYTES, EVALUATE, 100),
    "run/metrics.csv": (damage.ROWS, TRAIN, 50),
    "run/alarms.json": (damage.BYTES, TRAIN, 10),
    "run/checkpoints/checkpoint": (damage.BYTES, TRAIN, 20),
    "run/checkpoints/ckpt-4.index": (damage.BYTES, TRAIN, 15),
    "run/checkpoints/ckpt-4.data-00000-of-00001": (damage.BYTES, TRAIN, 15),
    "images/train/dark/0.png": (damage.BYTES, TRAIN, 30),
}


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


def call(command, arguments):
    """Runs a command as its module does; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *arguments])
        try:
            command.main()
        except SystemExit as end:
            return end.code or 0
    raise AssertionError("a command ends by an exit")


def figures(folder):
    """What an evaluation found, by attack and radius."""
    found = read_evaluation(folder).evaluation
    return {
        (result.attack, result.eps): result.num_correct
        for result in found.results
    } | {("worst case", each.eps): each.num_correct for each in found.pointwise}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two epochs and its evaluation, and what they hold."""
    folder = tmp_path_factory.mktemp("fuzz")
    draw_images(folder / "images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call(*TRAIN) == 0
        assert call(*EVALUATE) == 0
    return folder, figures(folder / "run")


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


def begun_anew(output):
    return "epoch 1/2" in output


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_damage_is_noticed(whole, name, tmp_path, monkeypatch, capfd, request):
    original, truth = whole
    kinds, (command, arguments), count = CASES[name]
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
            code = call(command, arguments)
            output, errors = capfd.readouterr()
            problem = wrong(code, output, errors)
            if not problem and begun_anew(output):
                problem = "begun anew"
            if not problem and code == 0 and figures(folder / "run") != truth:
                problem = "another figure"
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
