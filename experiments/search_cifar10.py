"""Compares training settings on validation images at a small budget.

Each variant is one run of `python -m tfgan_robust.train`; a finished run is
not repeated, a stopped one goes on. The table shows validation images only.

    python experiments/search_cifar10.py --output=runs/search \
        --data_dir=DIR [--only=recommended,pgd]
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BUDGET = {
    "dataset": "cifar10",
    "classifier_width": 0.25,
    "train_images": 10000,
    "validation_images": 1000,
    "epochs": 5,
    "eval_every": 5,
}
GENERATORS = {"generator_width": 0.25}

VARIANTS: dict[str, dict[str, Any]] = {
    "recommended": {},
    "clean_weight=0": {"clean_weight": 0},
    "clean_weight=1": {"clean_weight": 1},
    "gradient_skip=0": {"gradient_skip": 0},
    "random_start=0": {"random_start": 0},
    "alternating": {"update": "alternating", "generator_mode": "inference"},
    "batching=separate": {"batching": "separate"},
    "attack_mode=training": {"attack_mode": "training"},
    "dropout_scale=0.5": {"dropout_scale": 0.5},
    "batchnorm_momentum=0.99": {"batchnorm_momentum": 0.99},
    "generator_step=1": {"generator_step": 1},
    "paper": {"preset": "paper"},
    "natural": {"method": "natural"},
    "fgsm": {"method": "fgsm"},
    "pgd": {"method": "pgd"},
    "formulation=grad": {"formulation": "grad"},
    "formulation=x": {"formulation": "x"},
    "formulation=xz": {"formulation": "xz"},
    "eps=8/255": {"eps": "8/255"},
    "generator_updates=3": {
        "update": "alternating",
        "generator_mode": "inference",
        "generator_updates": 3,
    },
    "gradient_skip=2": {"gradient_skip": 2},
    "generator_learning_rate=2e-4": {"generator_learning_rate": 2e-4},
    "num_generators=1": {"num_generators": 1},
    "classifier_learning_rate=2e-3": {"classifier_learning_rate": 2e-3},
}
COLUMNS = (
    "val_clean_accuracy",
    "val_fgsm_accuracy",
    "val_pgd_accuracy",
    "train_mode_accuracy",
    "inference_mode_accuracy",
    "images_per_second",
)


def run_variant(name: str, output: Path, data_dir: str | None) -> None:
    """Trains one variant, or finishes it."""
    variant = VARIANTS[name]
    settings = {**BUDGET, **variant}
    if variant.get("method", "gan") == "gan":
        settings |= GENERATORS
    if data_dir is not None:
        settings["data_dir"] = data_dir
    output.mkdir(parents=True, exist_ok=True)
    file = output / "settings.json"
    file.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "tfgan_robust.train"]
    command += [f"--config={file}", f"--run_dir={output / 'run'}"]
    subprocess.run([*command, "--report_images=0"], check=True)


def main() -> None:
    """Runs the variants and prints a table after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data_dir")
    parser.add_argument("--only", help="comma-separated names of variants")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(VARIANTS)
    for number, name in enumerate(names):
        folder = arguments.output / name.replace("/", "_").replace(" ", "_")
        run_variant(name, folder, arguments.data_dir)
        with (folder / "run" / "metrics.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        if number == 0:
            print("| variant | " + " | ".join(COLUMNS) + " |")
            print("|---" * (1 + len(COLUMNS)) + "|")
        figures = " | ".join(f"{float(last[c]):.3f}" for c in COLUMNS)
        print(f"| {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
