"""Puts a trained classifier into the package, with its card.

    python -m experiments.publish --run_dir=R --evaluation=E --name=NAME \
        --images="what the images are"

It is then `--model=pretrained:NAME`, and `tfgan_robust.load_pretrained`.
"""

import argparse
import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.harness.ending import error_line
from experiments.rounding import BITS_KEPT
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.inputs import of_classifier
from tfgan_robust.files import read_json_object, sha256, write_json
from tfgan_robust.identity import differences
from tfgan_robust.networks import pretrained
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.reports.reading import StoredEvaluation, read_evaluation
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.stored import load_run_config

# What depends on where it was trained.
_LOCAL = ("data_dir", "num_devices", "jit_compile")
# Everyone who installs the package gets the file.
MOST_BYTES = 15 * 2**20


def main() -> None:
    """Copies the network and writes the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run_dir", type=Path, required=True)
    parser.add_argument("--evaluation", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--images", required=True)
    with error_line():
        publish(**vars(parser.parse_args()))


def publish(run_dir: Path, evaluation: Path, name: str, images: str) -> None:
    """Copies the network that was evaluated, and writes its card.

    Args:
        run_dir: Of its training.
        evaluation: The folder of an evaluation.
        name: What it is called from now on.
        images: What its images are.

    Raises:
        UsageError: if the evaluation is of something else, or tells less than
            a card says, or the file is too large.
    """
    stored = read_evaluation(evaluation)
    results = read_json_object(evaluation / "results.json")
    check_whole(stored, evaluation)
    checkpoint = results.get("checkpoint")
    if checkpoint is None:
        raise UsageError(f"{evaluation} is not of a run's classifier.")
    file = RunDirectory(run_dir).trained_classifier(checkpoint)
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise UsageError(
            f"{file} must not have more than {MOST_BYTES} bytes. Received: "
            f"{size}."
        )
    classifier = load_classifier(run_dir=run_dir, checkpoint=checkpoint)
    if classifier.class_names is None:
        raise UsageError(f"{run_dir} does not say what its classes are.")
    here, there = of_classifier(classifier), stored.conditions.identity or {}
    other = differences({k: there[k] for k in here if k in there}, here)
    if other:
        raise UsageError(
            f"{evaluation} is not of {file}, or cannot prove it: it has "
            f"another value of {', '.join(other)}."
        )
    config = load_run_config(run_dir)
    pretrained.FOLDER.mkdir(exist_ok=True)
    shutil.copyfile(file, pretrained.FOLDER / f"{name}.keras")
    write_json(
        pretrained.FOLDER / f"{name}.json",
        {
            "sha256": sha256(file),
            "dataset": config.dataset,
            "class_names": list(classifier.class_names),
            "images": images,
            "settings": _told(dataclasses.asdict(config)),
            **_begun_with(config),
            **_derived(run_dir),
            "measured": results,
        },
    )


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a run that mean something elsewhere."""
    told = {k: v for k, v in settings.items() if k not in _LOCAL}
    if _is_a_file(told["classifier"]):
        told["classifier"] = Path(told["classifier"]).name
    return told


def _begun_with(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings of the runs before, if it went on from one.

    The first of them comes first. A classifier that lies in no run directory
    is somebody's, of whose training nothing is known.
    """
    before: list[dict[str, Any]] = []
    while _is_a_file(config.classifier):
        # A run's files lie in its "best", "last" or "epoch-N".
        run = RunDirectory(Path(config.classifier).parent.parent)
        if not run.config.is_file():
            break
        config = load_run_config(run.path)
        before.insert(0, _told(dataclasses.asdict(config)))
    return {"begun with": before} if before else {}


def _is_a_file(classifier: str) -> bool:
    return not (classifier in NETWORKS or pretrained.is_pretrained(classifier))


def _derived(run_dir: Path) -> dict[str, Any]:
    """Returns whose average it is, and to what it was rounded, if it was."""
    stored = read_json_object(RunDirectory(run_dir).config)
    found = {}
    if "averaged" in stored:
        found["averaged"] = [_told(each) for each in stored["averaged"]]
    if BITS_KEPT in stored:
        found[BITS_KEPT] = stored[BITS_KEPT]
    return found


def check_whole(stored: StoredEvaluation, folder: Path) -> None:
    """Refuses an evaluation that tells less than a card says.

    Raises:
        UsageError: if it is of validation images, stopped, or has no audit.
    """
    evaluation = stored.evaluation
    for fits, problem in (
        (stored.conditions.dataset.split == "test", "not of test images"),
        (evaluation.complete, "INCOMPLETE; the command that began it goes on"),
        (evaluation.audit, "without an audit; evaluate with --audit=true"),
    ):
        if not fits:
            raise UsageError(f"{folder} is {problem}.")


if __name__ == "__main__":
    main()
