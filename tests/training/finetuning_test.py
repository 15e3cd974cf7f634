"""A run that starts from a file's weights, and what can be done with it."""

import keras
import numpy as np
import pytest
from keras import layers

from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.data.loading import load_training
from tfgan_robust.errors import UsageError
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.session import train_all

SETTINGS = {
    "dataset": "digits",
    "method": "fgsm",
    "batch_size": 32,
    "train_images": 64,
    "validation_images": 32,
    "eval_images": 32,
    "epochs": 1,
}


def save(path, *before):
    """Saves an untrained classifier of digits."""
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), *before, layers.Flatten(), layers.Dense(10)],
        name="mine",
    )
    model.save(path)
    return model


def train(folder, path, **changes):
    config = resolve(SETTINGS, {"classifier": str(path), **changes})
    return train_all([(RunDirectory(folder), config)])


def test_a_run_starts_from_a_file_and_keeps_its_classifier(tmp_path):
    start = save(tmp_path / "mine.keras")
    # So small a learning rate that the start can be recognised.
    rate = {"classifier_learning_rate": 1e-9}
    assert train(tmp_path / "run", tmp_path / "mine.keras", **rate) == 0
    classifier = load_classifier(run_dir=tmp_path / "run")
    assert classifier.description == "run (best)"
    images = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    np.testing.assert_allclose(
        classifier.logits_fn(images), start(images), atol=1e-5
    )
    # It is finished: the same command trains no further.
    assert train(tmp_path / "run", tmp_path / "mine.keras", **rate) == 0


def test_a_file_that_expects_pixels_from_0_to_255_is_refused(tmp_path):
    _, training, _ = load_training("digits")
    flat = training.images.reshape(len(training.labels), -1) / 255
    means = np.stack([flat[training.labels == k].mean(0) for k in range(10)])
    model = save(tmp_path / "mine.keras", layers.Rescaling(1 / 255))
    # The nearest mean, as logits.
    model.layers[-1].set_weights([means.T, -(means**2).sum(-1) / 2])
    model.save(tmp_path / "mine.keras")
    told = "expects other pixels.*`input_range=0,255`"
    with pytest.raises(UsageError, match=told):
        train(tmp_path / "run", tmp_path / "mine.keras", train_images=None)
    assert not (tmp_path / "run").exists()
