"""Classifiers, and runs as training leaves them, for exports."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from toys import small_vgg

from tfgan_robust import files
from tfgan_robust.runs import presets, stored

SHAPE = (16, 16, 3)
NAMES = ["nought", "one", "two"]


def random_classifier(names: Sequence[str], *, seed: int) -> keras.Model:
    """A tiny classifier that has, seemingly, been trained."""
    model = small_vgg(SHAPE, len(names), classifier_width=0.05)
    _pretend_training(model, seed)
    return model


def _pretend_training(model: keras.Model, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        positive = weight.path.endswith(("gamma", "moving_variance"))
        low, high = (0.5, 1.5) if positive else (-0.2, 0.2)
        weight.assign(generator.uniform(low, high, weight.shape))


def shallow_classifier() -> keras.Model:
    """A classifier of NAMES that small changes of an image turn."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Rescaling(1.0, offset=-0.5),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(len(NAMES)),
        ]
    )


def make_run(
    path: Path, model: keras.Model | None = None, *, precision: str = "float32"
) -> Path:
    """Writes the run directory of a classifier.

    Args:
        path: The folder.
        model: The classifier; None for one that has, seemingly, been trained.
        precision: In which it was.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        network = model or small_vgg(SHAPE, len(NAMES), classifier_width=0.05)
    finally:
        keras.config.set_dtype_policy(previous)
    if model is None:
        _pretend_training(network, seed=0)
    (path / "best").mkdir(parents=True)
    network.save(path / "best" / "classifier.keras")
    settings = presets.resolve({"dataset": "digits", "precision": precision})
    files.write_json(
        path / "config.json",
        {
            "settings": dataclasses.asdict(settings),
            "versions": stored.versions(),
            "seed": 0,
            "device": "CPU",
            "dataset": {
                "name": "digits",
                "source": "made for a test",
                "class_names": NAMES,
                "image_shape": list(SHAPE),
                "num_classes": len(NAMES),
                "notes": ["2 training images have copies among them"],
            },
        },
    )
    return path
