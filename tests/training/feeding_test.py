"""The batches of a run are drawn and augmented as its settings say."""

import numpy as np
import pytest

from tfgan_robust.data.batches import training_batches
from tfgan_robust.data.splits import Split
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.feeding import batches_of


def split(count=24):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
    return Split(images, np.arange(count, dtype=np.int64) % 10)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dataset": "cifar10"}, (True, 0.1)),
        ({"dataset": "digits"}, (False, 0.1)),
        (
            {"dataset": "digits", "horizontal_flip": True, "max_shift": 0},
            (True, 0.0),
        ),
        (
            {"dataset": "cifar10", "horizontal_flip": False, "max_shift": 0.4},
            (False, 0.4),
        ),
    ],
    ids=str,
)
def test_batches_are_augmented_as_the_run_says(given, expected):
    config = resolve(given, {"batch_size": 8, "seed": 5})
    flip, shift = expected
    pairs = zip(
        batches_of(config, split()).take(3),
        training_batches(
            split(), batch_size=8, seed=5, horizontal_flip=flip, max_shift=shift
        ).take(3),
        strict=True,
    )
    for (images, labels), (others, their_labels) in pairs:
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, their_labels)
