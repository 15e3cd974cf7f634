"""Networks on disk as a training run leaves them, for evaluations."""

import dataclasses
import json

import keras
import numpy as np

from tfgan_robust.runs.presets import resolve

SHAPE = (16, 16, 3)
# An evaluation of a second.
QUICK = {
    "attacks": "fgsm,pgd-2",
    "eps": "0.1",
    "num_images": 20,
    "audit": False,
}


def save_classifier(path, classes=10):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.AveragePooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def save_run(folder, **settings):
    """What a training run leaves, as far as an evaluation reads it."""
    model = save_classifier(folder / "best" / "classifier.keras")
    config = resolve({"dataset": "digits", "image_size": 16}, settings)
    (folder / "config.json").write_text(
        json.dumps({"settings": dataclasses.asdict(config)})
    )
    return model


def read_results(folder):
    return json.loads((folder / "results.json").read_text())


def count_correct(model, split):
    answers = model.predict(split.images / np.float32(255), verbose=0)
    return int(np.count_nonzero(answers.argmax(axis=-1) == split.labels))
