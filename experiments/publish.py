"""Puts a trained classifier into the package, with its card.

    python -m experiments.publish --run_dir=R --evaluation=E --name=NAME \
        --images="what the images are"

It is then `--model=pretrained:NAME`, and `tfgan_robust.load_pretrained`.
"""

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import Any

from tfgan_robust.errors import UsageError
from tfgan_robust.files import read_json_object, sha256, write_json
from tfgan_robust.networks.pretrained import FOLDER
from tfgan_robust.reports.reading import read_evaluation
from tfgan_robust.runs.directory import (
    RunDirectory,
    load_run_config,
    stored_dataset,
)

# What depends on where it was trained.
_LOCAL = ("data_dir", "num_devices", "jit_compile")


def main() -> None:
    """Copies the network and writes the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run_dir", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--images", required=True)
    arguments = parser.parse_args()
    results = read_json_object(arguments.evaluation / "results.json")
    file = RunDirectory(arguments.run_dir).classifier(results["checkpoint"])
    described = stored_dataset(arguments.run_dir)
    config = load_run_config(arguments.run_dir)
    FOLDER.mkdir(exist_ok=True)
    shutil.copyfile(file, FOLDER / f"{arguments.name}.keras")
    write_json(
        FOLDER / f"{arguments.name}.json",
        {
            "sha256": sha256(file),
            "dataset": config.dataset,
            "class_names": described["class_names"],
            "images": arguments.images,
            "settings": {
                name: value
                for name, value in dataclasses.asdict(config).items()
                if name not in _LOCAL
            },
            "measured": measured(arguments.evaluation, results),
        },
    )


def measured(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """Returns what a card says of an evaluation.

    Raises:
        UsageError: if it is of validation images.
    """
    if results["dataset"]["split"] != "test":
        raise UsageError(f"{folder} is not of test images.")
    evaluation = read_evaluation(folder).evaluation
    return {
        "test images": results["dataset"]["draw"],
        "date": results["date"],
        "device": results["device"],
        "accuracy": [
            {
                "attack": result.attack,
                "eps": result.eps,
                "correct": result.num_correct,
                "of": result.num_images,
            }
            for result in evaluation.results
        ],
        "audit": {
            check.check: check.verdict for check in evaluation.audit or ()
        },
    }


if __name__ == "__main__":
    main()
