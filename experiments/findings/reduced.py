"""What of the paper's settings is less here, in a few words."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.findings import marks
from experiments.harness.experiment import Row
from experiments.harness.seconds import TRAINING_IMAGES
from tfgan_robust.data.provenance import COMPRESSED
from tfgan_robust.runs.presets import PRESETS

_PAPER = "paper"
# What is adapted to narrow networks and few images, in words.
_RATES = {
    "dropout_scale": "dropout",
    "classifier_learning_rate": "the classifier's learning rate",
    "generator_learning_rate": "the generators' learning rate",
}


def reduced(stored: Mapping[str, Any]) -> str:
    """Returns what of the paper's settings is less here, in a few words.

    Args:
        stored: What an experiment published. One without rows says itself
            with which settings it was trained.
    """
    rows = stored.get("rows") or [stored]
    every = [row.get("resolved") or row.get("settings") or {} for row in rows]
    told = [*_narrower(every)]
    whole = marks.STATED["epochs"].get(stored.get("experiment"))
    told += _shorter(every, whole)
    told += _adapted([e for e in every if e.get("preset") == _PAPER])
    if any(COMPRESSED in row.get("data", "") for row in rows):
        told.append(f"images{COMPRESSED}")
    return ", ".join(told)


def _narrower(every: Sequence[Row]) -> Iterator[str]:
    widths = sorted({each.get("classifier_width", 1.0) for each in every})
    if widths not in ([], [1.0]):
        yield f"width {' and '.join(f'{width:g}' for width in widths)}"


def _shorter(every: Sequence[Row], whole: int | None) -> Iterator[str]:
    """Yields on how many images, for how many of the epochs and steps."""
    counts = sorted({each.get("train_images") or 0 for each in every})
    if any(counts):
        shown = " and ".join(f"{n:,}" if n else "all" for n in counts)
        yield f"{shown} training images"
    epochs = [e["epochs"] for e in every if e.get("preset") == _PAPER]
    if not (whole and epochs):
        return
    longest = max(epochs)
    if longest < whole:
        yield f"{longest} of {whole} epochs"
    steps = longest * (max(counts) if all(counts) else TRAINING_IMAGES)
    if any(counts):
        yield f"{100 * steps / (whole * TRAINING_IMAGES):.0f} % of the steps"


def _adapted(every: Sequence[Row]) -> Iterator[str]:
    """Yields what most trainings have more or less of than the paper's."""
    if not every:
        return
    found: dict[float, list[str]] = {}
    for name, words in _RATES.items():
        known = [each[name] for each in every if each.get(name) is not None]
        if known:
            times = statistics.mode(known) / PRESETS[_PAPER][name]
            found.setdefault(round(times, 6), []).append(words)
    for times, names in found.items():
        if times != 1:
            yield f"{' and '.join(names)} {times:g} times the paper's"
