"""Masks in files, found by the command line in processes of their own."""

import os
import subprocess
import sys

import keras
import pytest
from saved import read_results
from trained import train

from tfgan_robust.cli import importing
from tfgan_robust.data.loading import load_training

pytestmark = pytest.mark.slow

# As people hand them over, beside the file.
LAYERS = '''
import keras
import tensorflow as tf


def off_levels(images):
    level = images * 255
    off = tf.reduce_max(tf.abs(level - tf.round(level)), axis=[1, 2, 3])
    return off[:, None, None, None] >= 1e-3


@keras.saving.register_keras_serializable("masks")
class ByBatch(keras.layers.Layer):
    """Off the clean images, what else is asked counts, too."""

    def call(self, images):
        shifted = images - 0.3 * tf.reduce_mean(images, axis=0)
        return tf.where(off_levels(images), shifted, images)


@keras.saving.register_keras_serializable("masks")
class OneChannel(keras.layers.Layer):
    """No gradient reaches two of three channels."""

    def call(self, images):
        shown = images * [1.0, 0.0, 0.0]
        return shown + tf.stop_gradient(images - shown)


@keras.saving.register_keras_serializable("masks")
class Rounds(keras.layers.Layer):
    """Rounds, with the gradient of what does not."""

    def call(self, images):
        few = tf.round(images * 8) / 8
        return images + tf.stop_gradient(few - images)
'''


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network behind each of these layers, and behind none."""
    folder = tmp_path_factory.mktemp("masks")
    (folder / "saved_masks.py").write_text(LAYERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "IMPORTED", [])
        importing.import_modules(str(folder / "saved_masks.py"))
    keras.utils.set_random_seed(0)
    layers = keras.layers
    hidden = [
        layers.Conv2D(8, 3, 2, padding="same", activation="relu"),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10),
    ]
    shape = (16, 16, 3)
    _, split, _ = load_training("digits")
    train(keras.Sequential([keras.Input(shape), *hidden]), split, steps=150)
    for name in ("ByBatch", "OneChannel", "Rounds", "nothing"):
        mask = getattr(sys.modules["saved_masks"], name, layers.Identity)
        model = keras.Sequential([keras.Input(shape), mask(), *hidden])
        model.save(folder / f"{name}.keras")
    return folder


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("ByBatch", "within_the_ball"),
        ("OneChannel", "finite_differences"),
        ("Rounds", "finite_differences"),
        ("nothing", None),
    ],
)
def test_a_mask_in_a_file_fails_and_an_honest_file_does_not(
    saved, tmp_path, name, check
):
    done = subprocess.run(
        [
            sys.executable, "-m", "tfgan_robust.evaluate",
            f"--model={saved / name}.keras", "--dataset=digits",
            f"--import={saved / 'saved_masks.py'}", "--image_size=16",
            "--attacks=pgd-20", "--eps=0.15", "--num_images=64",
            "--audit_images=64", "--undefended=none",
            f"--output={tmp_path / 'out'}",
        ],
        capture_output=True,
        text=True,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    checks = {c["check"]: c for c in read_results(tmp_path / "out")["audit"]}
    failed = {n for n, found in checks.items() if found["verdict"] == "FAIL"}
    assert (check in failed) if check else not failed, done.stdout
    assert "not checked" not in checks["reloaded"]["message"]
