"""Does training in bfloat16 cost robustness?

One configuration in both precisions, with the same seeds and epochs, measured
on the same validation images.

    python -m experiments.precision --output=runs/precision --data_dir=DIR
"""

import argparse
import statistics
from pathlib import Path

from experiments import study
from experiments.collapse import accuracies
from experiments.efficiency import COMMON
from tfgan_robust.files import write_json

PRECISIONS = ("mixed_bfloat16", "float32")
SETTINGS = {**COMMON, "method": "nfgsm", "epochs": 5}
SEEDS = (0, 1, 2)
ATTACKS = "pgd-20,autoattack-fast"


def main() -> None:
    """Trains and measures, and writes precision.json after each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--results", type=Path, help="default: --output")
    arguments = parser.parse_args()
    results = arguments.results or arguments.output
    data = {"data_dir": arguments.data_dir}
    found: dict[str, list[dict[str, float]]] = {p: [] for p in PRECISIONS}
    for seed in SEEDS:
        for precision in PRECISIONS:
            folder = arguments.output / f"{precision}-{seed}"
            settings = {**SETTINGS, "precision": precision, "seed": seed}
            study.train({**settings, **data}, folder / "run")
            stored = study.evaluate(
                folder / "run",
                folder / "validation",
                checkpoint="last",
                split="validation",
                attacks=ATTACKS,
                eps="8/255",
                num_images=1000,
                audit=False,
                **data,
            )
            found[precision].append(accuracies(stored.evaluation))
        results.mkdir(parents=True, exist_ok=True)
        means = {
            precision: {
                name: statistics.mean(each[name] for each in rows)
                for name in rows[0]
            }
            for precision, rows in found.items()
        }
        write_json(results / "precision.json", {"seeds": found, "means": means})
        print(means, flush=True)


if __name__ == "__main__":
    main()
