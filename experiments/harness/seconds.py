"""Seconds of a training step, measured once and kept.

Methods are compared at equal training time, and how long a preset takes is
computed, from these.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments.harness.apart import apart
from experiments.harness.study import Trial
from tfgan_robust.files import read_json_object, write_json
from tfgan_robust.identity import all_of

Settings = Mapping[str, Any]
STEPS = 3
# Of CIFAR-10, less what is held out.
TRAINING_IMAGES = 45_000
# What does not change how long a step takes.
_OF_RUNS = (
    "dataset", "epochs", "seed", "keep_every", "eval_every", "eval_images",
    "train_images", "validation_images", "eval_eps", "horizontal_flip",
    "eps",
)  # fmt: skip


class Timed(NamedTuple):
    """A configuration, and how long it trains.

    Attributes:
        settings: With their epochs.
        time: What these last, in epochs of what all are compared with.
    """

    settings: dict[str, Any]
    time: float


def key(settings: Settings) -> str:
    """Returns what tells the step of a configuration from that of others."""
    parts = sorted(f"{k}={v}" for k, v in settings.items() if k not in _OF_RUNS)
    return ", ".join(parts)


def measured(
    file: Path,
    wanted: Sequence[Settings],
    steps: int = STEPS,
    builds: int | None = None,
) -> dict[str, float]:
    """Returns the seconds of a step of each configuration, by `key`.

    What is not in the file is timed and added, on the scale of the first
    configuration there, should this be another machine.

    Args:
        file: Where they are kept.
        wanted: The configurations.
        steps: How many steps are timed at once.
        builds: How often each is built; None for as often as where times are
            compared.
    """
    stored = read_json_object(file) if file.exists() else {}
    known: dict[str, float] = stored.get("seconds", {})
    missing = {key(s): dict(s) for s in wanted if key(s) not in known}
    if missing:
        first = stored.get("first", next(iter(missing.values())))
        found, about = apart(
            _timed, {key(first): first, **missing}, steps, builds
        )
        unit = found[key(first)]
        scale = known.get(key(first), unit) / unit
        known |= {name: scale * found[name] for name in missing}
        file.parent.mkdir(parents=True, exist_ok=True)
        # Such as a step that was timed later, elsewhere.
        where = {
            name: all_of([stored.get(name, value), value])
            for name, value in about.items()
        }
        write_json(file, {**stored, **where, "first": first, "seconds": known})
    return {key(s): known[key(s)] for s in wanted}


def _timed(
    wanted: Mapping[str, dict[str, Any]], steps: int, builds: int | None
) -> tuple[dict[str, float], dict[str, str]]:
    """Returns the seconds of a step of each, and on what that was."""
    from experiments.harness.steps import (
        BUILDS,
        about,
        compiled_step,
        time_steps,
    )

    builders = {
        name: partial(compiled_step, each) for name, each in wanted.items()
    }
    return time_steps(builders, steps, builds or BUILDS), about()


def equal_time(
    file: Path, wanted: Mapping[str, Settings], unit: str, epochs: int
) -> dict[str, Timed]:
    """Returns configurations with the epochs that cost the same time.

    As nearly as whole epochs can.

    Args:
        file: See `measured`.
        wanted: Configurations without epochs, by name.
        unit: Which of them has `epochs`.
        epochs: At least 1.
    """
    seconds = measured(file, list(wanted.values()))
    found: dict[str, Timed] = {}
    for name, settings in wanted.items():
        step = seconds[key(settings)] / seconds[key(wanted[unit])]
        own = max(1, round(epochs / step))
        found[name] = Timed({**settings, "epochs": own}, round(own * step, 2))
    return found


def hours(trials: Sequence[Trial], seconds: Mapping[str, float]) -> float:
    """Returns how long trainings take, from the seconds of their steps."""
    total = 0.0
    for trial in trials:
        config = trial.config
        images = config.train_images or TRAINING_IMAGES
        steps = math.floor(images / config.batch_size)
        total += config.epochs * steps * seconds[key(trial.settings)]
    return total / 3600
