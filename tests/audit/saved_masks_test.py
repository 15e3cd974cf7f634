"""Masks in files, found by the command line in processes of their own."""

import subprocess
import sys
from pathlib import Path

import keras
import pytest
from saved import read_results
from trained import build_network, train

from tfgan_robust.cli import importing
from tfgan_robust.data.loading import load_test, load_training

pytestmark = pytest.mark.slow

MODULE = Path(__file__).with_name("saved_masks.py")
EPS = 0.15
# Before a natural network; behind it and a robust one.
BEFORE = ("ByBatch", "OneChannel", "Rounds")
BEHIND = ("Cache", "Calls", "Mode", "Levels", "Known", "Decoy", "Shadows")


@pytest.fixture(scope="module")
def masks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "IMPORTED", [])
        importing.import_modules(str(MODULE))
    return sys.modules[MODULE.stem]


@pytest.fixture(scope="module")
def saved(masks, tmp_path_factory):
    """A file for each mask, and for the network without one."""
    folder = tmp_path_factory.mktemp("masks")
    _, training, _ = load_training("digits")
    natural = train(build_network(), training, steps=150)
    robust = train(build_network(), training, steps=200, eps=EPS)
    natural.save(folder / "nothing.keras")
    images = keras.Input(masks.SHAPE)
    for name in BEFORE:
        shown = getattr(masks, name)()(images)
        # So that its last layer is known.
        for layer in natural.layers:
            shown = layer(shown)
        keras.Model(images, shown).save(folder / f"{name}.keras")
    for name in BEHIND:
        mask = getattr(masks, name)()
        if name == "Known":
            _, test = load_test("digits")
            mask.known.assign(test.images[: masks.NUM_IMAGES] / 255)
        answers = mask([images, natural(images), robust(images)])
        keras.Model(images, answers).save(folder / f"{name}.keras")
    return folder


def evaluate(saved, name, output, eps=EPS):
    return subprocess.run(
        [
            sys.executable, "-m", "tfgan_robust.evaluate",
            f"--model={saved / name}.keras", "--dataset=digits",
            f"--import={MODULE}", "--image_size=16", "--attacks=pgd-20",
            f"--eps={eps}", "--num_images=64", "--audit_images=64",
            "--undefended=none", f"--output={output}",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("nothing", set()),
        ("ByBatch", {"within_the_ball"}),
        ("OneChannel", {"finite_differences"}),
        ("Rounds", {"finite_differences"}),
        ("Cache", {"reloaded"}),
        ("Calls", {"reloaded"}),
        ("Mode", {"within_the_ball", "reloaded"}),
        ("Levels", {"stored_images"}),
        ("Known", {"shifted_images"}),
        ("Decoy", {"square"}),
    ],
)
def test_a_mask_in_a_file_fails_and_an_honest_file_does_not(
    saved, masks, tmp_path, name, by
):
    eps = masks.RADIUS_OF_KNOWN if name == "Known" else EPS
    done = evaluate(saved, name, tmp_path / "out", eps)
    assert done.returncode == 0, done.stderr
    checks = {c["check"]: c for c in read_results(tmp_path / "out")["audit"]}
    failed = {n for n, found in checks.items() if found["verdict"] == "FAIL"}
    print(f"{name}: {', '.join(sorted(failed))}")
    assert by <= failed, done.stdout
    # It changed before the audit began: no other check finds that.
    if name in ("nothing", "Calls"):
        assert failed == by, done.stdout
    assert ("audit: FAIL" in done.stdout) == bool(by)
    assert "not checked" not in checks["reloaded"]["message"]


def test_classes_that_the_data_lack_are_refused(saved, tmp_path):
    """So that no shadow classes come to an audit of the command."""
    done = evaluate(saved, "Shadows", tmp_path / "out")
    assert done.returncode != 0
    assert "The model knows 20 classes" in done.stderr
