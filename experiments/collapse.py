"""Who collapses in a long run at a large radius, and do the alarms say so?

Training by one gradient step can overfit to that step: accuracy under FGSM
goes up, under PGD to nothing (arXiv:2001.03994). Trials of `efficiency` train
at eps 16/255 for the time of 60 epochs of FGSM with a random start; validation
images show when accuracy falls, and `alarms.json` what was said.

    python -m experiments.collapse --output=runs/collapse --data_dir=DIR \
        --costs=runs/efficiency/costs.json
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from experiments import study
from experiments.efficiency import Trial, measured_costs, settings_of
from tfgan_robust.files import write_json
from tfgan_robust.reports.results import Evaluation
from tfgan_robust.runs.directory import RunDirectory

METHODS = ("fgsm", "nfgsm", "gan, as it was", "gan", "start x")
BUDGET = 60
EPS = "16/255"
SETTINGS = {"eps": EPS, "eval_eps": EPS, "eval_every": 2}
ATTACK = "autoattack-fast"
# Of the best so far: less is a collapse.
FALLEN = 0.5


def main() -> None:
    """Trains and measures, and writes collapse.json after each trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--costs", type=Path, required=True)
    parser.add_argument("--results", type=Path, help="default: --output")
    arguments = parser.parse_args()
    costs = measured_costs(arguments.costs)
    results = arguments.results or arguments.output
    data = {"data_dir": arguments.data_dir}
    rows = []
    for method in METHODS:
        trial = Trial(method, BUDGET, 0)
        folder = arguments.output / trial.name
        settings = {**settings_of(trial, costs), **SETTINGS}
        study.train({**settings, **data}, folder / "run")
        run = RunDirectory(folder / "run")
        row = {"method": method, **history(run)}
        for checkpoint in ("best", "last"):
            stored = study.evaluate(
                run.path,
                folder / checkpoint,
                checkpoint=checkpoint,
                split="validation",
                attacks=ATTACK,
                eps="8/255,16/255",
                num_images=1000,
                audit=False,
                **data,
            )
            row[checkpoint] = accuracies(stored.evaluation)
        rows.append(row)
        results.mkdir(parents=True, exist_ok=True)
        write_json(results / "collapse.json", rows)
        print(json.dumps(row), flush=True)


def history(run: RunDirectory) -> dict[str, Any]:
    """Returns what happened while training: accuracies and alarms by epoch."""
    with run.metrics.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val_pgd_accuracy"]]
    pgd = [float(row["val_pgd_accuracy"]) for row in rows]
    epochs = [int(float(row["epoch"])) for row in rows]
    fallen = [
        epoch
        for n, epoch in enumerate(epochs)
        if pgd[n] < FALLEN * max(pgd[: n + 1])
    ]
    alarms = json.loads(run.alarms.read_text("utf-8"))
    return {
        "epochs": epochs[-1],
        "fallen": fallen,
        "alarms": [(alarm["epoch"], alarm["name"]) for alarm in alarms],
        "fgsm": [float(row["val_fgsm_accuracy"]) for row in rows],
        "pgd": pgd,
    }


def accuracies(evaluation: Evaluation) -> dict[str, float]:
    """Returns clean accuracy, and that at each radius."""
    return {
        f"{result.attack} {255 * result.eps:.0f}/255": result.accuracy
        for result in evaluation.results
    }


if __name__ == "__main__":
    main()
