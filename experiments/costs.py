"""How long the trainings of a preset take.

    python -m experiments.costs --preset=paper

times a step of each training of a preset on this machine, on random images,
and says how long all of its trainings would take, and at most those that
results may ask for. What it finds is kept apart from results: how many epochs
are equal time is measured where they are trained.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.harness import options, seconds
from experiments.harness.ending import error_line
from experiments.harness.experiment import ROOT
from experiments.harness.study import Study
from experiments.run_all import EXPERIMENTS
from tfgan_robust.files import read_json_object, write_json
from tfgan_robust.runs.directory import RunDirectory, locked


def main() -> None:
    """Times the trainings of a preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=options.names(), required=True)
    parser.add_argument("--output", type=Path, help="a folder")
    parser.add_argument("--steps", type=int, default=seconds.STEPS)
    parser.add_argument("--builds", type=int)
    arguments = parser.parse_args()
    name = arguments.preset
    output = arguments.output or folder(name)
    study = Study(Path("runs") / name, output)
    preset = options.Preset.load(name)
    with error_line(), locked(RunDirectory(output)):
        rows = of_experiments(preset, study, arguments.steps, arguments.builds)
    for title, row in rows.items():
        print(f"{title}: {told(row)}")
    names = ("trainings", "hours", "later trainings", "later hours")
    print(f"all: {told({n: sum(r[n] for r in rows.values()) for n in names})}")


def folder(preset: str) -> Path:
    """Returns where it is kept how long a preset takes."""
    return ROOT / "results" / preset / "costs"


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
    preset: options.Preset,
    study: Study,
    steps: int,
    builds: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Writes how long the trainings of each experiment take, and returns it.

    Args:
        preset: Of which settings.
        study: Whose results are the folder of these costs.
        steps: How many steps are timed at once.
        builds: See `seconds.measured`.
    """
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
        known = seconds.measured(file, each, steps, builds)
        rows[experiment.name] = {
            "trainings": len(trials),
            "hours": seconds.hours(list(trials.values()), known),
            "later trainings": len(later),
            "later hours": seconds.hours(later, known),
        }
    write_json(file, {**read_json_object(file), "hours": rows})
    return rows


if __name__ == "__main__":
    main()
