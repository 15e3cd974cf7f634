"""The command of an experiment, and of several: does what they lack."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.harness import options, runner
from experiments.harness.ending import error_line
from experiments.harness.experiment import ROOT, Experiment
from experiments.harness.options import Preset
from experiments.harness.study import Study, Trial
from tfgan_robust.errors import exit_code_of, in_one_line
from tfgan_robust.runs.directory import RunDirectory, locked


def main(experiment: Experiment) -> None:
    """Runs an experiment as a command."""
    sys.exit(conduct([experiment], experiment.title))


def conduct(experiments: Sequence[Experiment], description: str) -> int:
    """Does what several experiments lack, and writes their files.

    Returns:
        An exit code: 1 if something failed, which is named. Where nothing
        can be done, the process ends with an error's.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--preset", choices=options.names(), required=True)
    parser.add_argument("--data_dir", help="of CIFAR-10")
    parser.add_argument(
        "--runs",
        type=Path,
        help="where networks and logs go; default: runs/PRESET",
    )
    parser.add_argument(
        "--results",
        type=Path,
        help="where results go; default: experiments/results/PRESET",
    )
    arguments = parser.parse_args()
    name = arguments.preset
    study = Study(
        (arguments.runs or Path("runs") / name).absolute(),
        (arguments.results or ROOT / "results" / name).absolute(),
        arguments.data_dir and str(Path(arguments.data_dir).absolute()),
    )
    try:
        with error_line(), locked(RunDirectory(study.results)):
            failed = perform(experiments, Preset.load(name), study)
    except KeyboardInterrupt as stop:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return exit_code_of(stop)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def perform(
    experiments: Sequence[Experiment], preset: Preset, study: Study
) -> list[str]:
    """Does what several experiments lack, and writes their files.

    Returns:
        What failed, one line each.
    """
    unpublished: dict[str, str] = {}

    def publish(each: Experiment) -> None:
        unpublished.pop(each.name, None)
        try:
            each.publish(preset, study)
        # Whatever a figure fails of, trainings go on.
        except Exception as error:
            unpublished[each.name] = in_one_line(error)
            traceback.print_exc()

    # What was found may ask for more.
    while True:
        pairs = _wanted(experiments, preset, study)
        trials = [trial for _, trial in pairs]
        if not runner.missing(study, trials):
            break

        def after(done: Trial, pairs: Any = pairs) -> None:
            users = (each for each, trial in pairs if trial.name == done.name)
            for each in dict.fromkeys(users):
                publish(each)

        runner.run_interruptibly(study, trials, after)
    for each in experiments:
        publish(each)
    return [
        *(f"{title}: {error}" for title, error in study.failed.items()),
        *(f"publish {name}: {error}" for name, error in unpublished.items()),
    ]


def _wanted(
    experiments: Sequence[Experiment], preset: Preset, study: Study
) -> list[tuple[Experiment, Trial]]:
    """Returns all trials in an order that does not depend on past stops."""
    # Costs of steps, on which trials may depend, are measured here first.
    first = [(e, t) for e in experiments for t in e.trials(preset, study)]
    later = [(e, t) for e in experiments for t in e.asked_for(preset, study)]
    return first + later
