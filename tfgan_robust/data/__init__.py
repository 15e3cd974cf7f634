"""Data sets as images in memory, and batches of them."""

from tfgan_robust.data.batches import (
    augment,
    evaluation_batches,
    training_batches,
)
from tfgan_robust.data.registry import load_test, load_training
from tfgan_robust.data.splits import DatasetInfo, Split

__all__ = [
    "DatasetInfo",
    "Split",
    "augment",
    "evaluation_batches",
    "load_test",
    "load_training",
    "training_batches",
]
