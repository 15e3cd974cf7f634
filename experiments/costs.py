"""Seconds of a training step, measured once and kept.

Methods are compared at equal training time, and how long a preset takes is
computed, from these.

    python -m experiments.costs --preset=paper

times a step of each training of a preset on this machine, on random images,
and says how long all of its trainings would take, and at most those that
results may ask for.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.harness import options
from experiments.harness.apart import apart
from experiments.harness.study import Study, Trial
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.files import read_json_object, write_json
from tfgan_robust.runs.directory import RunDirectory, locked

Settings = Mapping[str, Any]
_STEPS = 3
# Of CIFAR-10, less what is held out.
_TRAINING_IMAGES = 45_000
# What does not change how long a step takes.
_OF_RUNS = (
    "dataset", "epochs", "seed", "keep_every", "eval_every", "eval_images",
    "train_images", "validation_images", "eval_eps", "horizontal_flip",
    "eps",
)  # fmt: skip


def key(settings: Settings) -> str:
    """Returns what tells the step of a configuration from that of others."""
    parts = sorted(f"{k}={v}" for k, v in settings.items() if k not in _OF_RUNS)
    return ", ".join(parts)


def measured(
    file: Path, wanted: Sequence[Settings], steps: int = _STEPS
) -> dict[str, float]:
    """Returns the seconds of a step of each configuration, by `key`.

    What is not in the file is timed and added, on the scale of the first
    configuration there, should this be another machine.

    Args:
        file: Where they are kept.
        wanted: The configurations.
        steps: How many steps are timed at once.
    """
    stored = read_json_object(file) if file.exists() else {}
    known: dict[str, float] = stored.get("seconds", {})
    missing = {key(s): dict(s) for s in wanted if key(s) not in known}
    if missing:
        first = stored.get("first", next(iter(missing.values())))
        found, about = apart(_timed, {key(first): first, **missing}, steps)
        unit = found[key(first)]
        scale = known.get(key(first), unit) / unit
        known |= {name: scale * found[name] for name in missing}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {**about, **stored, "first": first, "seconds": known})
    return {key(s): known[key(s)] for s in wanted}


def _timed(
    wanted: Mapping[str, dict[str, Any]], steps: int
) -> tuple[dict[str, float], dict[str, str]]:
    """Returns the seconds of a step of each, and on what that was."""
    from experiments.benchmark_training import (
        about,
        compiled_step,
        time_steps,
    )

    builders = {
        name: partial(compiled_step, each) for name, each in wanted.items()
    }
    return time_steps(builders, steps), about()


def relative(
    file: Path, wanted: Mapping[str, Settings], unit: str
) -> dict[str, float]:
    """Returns how many steps of the unit last as long as one of each.

    Args:
        file: See `measured`.
        wanted: Configurations by name.
        unit: One of them.
    """
    seconds = measured(file, list(wanted.values()))
    one = seconds[key(wanted[unit])]
    return {n: seconds[key(settings)] / one for n, settings in wanted.items()}


def equal_time(
    file: Path, wanted: Mapping[str, Settings], unit: str, epochs: int
) -> dict[str, int]:
    """Returns the epochs of each configuration that cost the same time.

    As nearly as whole epochs can.

    Args:
        file: See `measured`.
        wanted: Configurations by name.
        unit: Which of them has `epochs`.
        epochs: At least 1.
    """
    return {
        name: max(1, round(epochs / each))
        for name, each in relative(file, wanted, unit).items()
    }


def hours(trials: Sequence[Trial], seconds: Mapping[str, float]) -> float:
    """Returns how long trainings take, from the seconds of their steps."""
    total = 0.0
    for trial in trials:
        config = trial.config
        images = config.train_images or _TRAINING_IMAGES
        steps = math.floor(images / config.batch_size)
        total += config.epochs * steps * seconds[key(trial.settings)]
    return total / 3600


def main() -> None:
    """Times the trainings of a preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=options.names(), required=True)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--steps", type=int, default=_STEPS)
    arguments = parser.parse_args()
    name = arguments.preset
    results = arguments.results or Path(__file__).parent / "results" / name
    study = Study(Path("runs") / name, results)
    preset = options.Preset.load(name)
    try:
        with locked(RunDirectory(results)):
            rows = of_experiments(preset, study, arguments.steps)
    except TfganRobustError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    for title, row in rows.items():
        print(f"{title}: {told(row)}")
    names = ("trainings", "hours", "later trainings", "later hours")
    print(f"all: {told({n: sum(r[n] for r in rows.values()) for n in names})}")


def told(row: Mapping[str, Any]) -> str:
    """Says how long trainings take, and those that results may ask for."""
    line = f"{row['trainings']} trainings, {row['hours']:.1f} h"
    if not row["later trainings"]:
        return line
    return (
        f"{line}; and at most {row['later trainings']} of further seeds, "
        f"{row['later hours']:.1f} h"
    )


def of_experiments(
    preset: options.Preset, study: Study, steps: int
) -> dict[str, dict[str, Any]]:
    """Writes how long the trainings of each experiment take, and returns it.

    Args:
        preset: Of which settings.
        study: Where results are.
        steps: How many steps are timed at once.
    """
    from experiments.run_all import EXPERIMENTS

    rows: dict[str, dict[str, Any]] = {}
    counted: set[str] = set()
    file = study.results / "costs.json"
    for experiment in EXPERIMENTS:
        found = experiment.trials(preset, study)
        # What experiments share is trained once.
        trials = {t.name: t for t in found if t.name not in counted}
        counted |= trials.keys()
        later = experiment.at_most(preset, study) if experiment.at_most else ()
        each = [trial.settings for trial in (*trials.values(), *later)]
        seconds = measured(file, each, steps)
        rows[experiment.name] = {
            "trainings": len(trials),
            "hours": hours(list(trials.values()), seconds),
            "later trainings": len(later),
            "later hours": hours(later, seconds),
        }
    write_json(file, {**read_json_object(file), "hours": rows})
    return rows


if __name__ == "__main__":
    main()
