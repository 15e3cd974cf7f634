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
# What a clock decides.
TIMES = ("seconds", "image_steps_per_second")


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


def without_times(results):
    rows = [
        {
            **{k: v for k, v in row.items() if k not in TIMES},
            "stages": [
                {k: v for k, v in stage.items() if k not in TIMES}
                for stage in row["stages"]
            ],
        }
        for row in results["results"]
    ]
    # Of the times too.
    others = {k: v for k, v in results.items() if k != "digest"}
    return {**others, "results": rows}


def arrays(path):
    with np.load(path) as stored:
        return dict(stored)


def assert_same(one, other):
    """What parts found is, bit for bit, what one process finds."""
    for name in ("masks.npz", "smallest.npz"):
        found, expected = arrays(one / name), arrays(other / name)
        assert found.keys() == expected.keys()
        for key in found:
            assert found[key].dtype == expected[key].dtype
            np.testing.assert_array_equal(found[key], expected[key])
    found, expected = (without_times(read_results(f)) for f in (one, other))
    assert found.pop("shards") > 1
    assert found == expected
