"""Averages the classifiers of runs that went on from one another.

    python -m experiments.average --run_dirs R1 R2 R3 --output=R

Each began with the classifier of the one before (`--classifier`), with a
learning rate that rises again: the ends of such cycles lie around a network
that is better than any of them (arXiv:1803.05407, section 3.1). The output is
a run directory, whose settings are those of the last run.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from experiments.harness.ending import error_line
from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.errors import UsageError
from tfgan_robust.files import check_free, read_json_object, write_json
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.images import training_images
from tfgan_robust.runs.stored import load_run_config, stored_dataset
from tfgan_robust.training.averaging import BATCHES
from tfgan_robust.training.build import build_model
from tfgan_robust.training.checkpoints import save_networks
from tfgan_robust.training.feeding import batches_of

_WHICH = "last"


def main() -> None:
    """Writes the run directory of the average."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run_dirs", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data_dir")
    with error_line():
        average(**vars(parser.parse_args()))


def average(
    run_dirs: Sequence[Path], output: Path, data_dir: str | None = None
) -> None:
    """Averages weights, and computes statistics of normalisation anew.

    The statistics are of training images, perturbed as the last run did, and
    computed in float32.

    Args:
        run_dirs: Of at least two runs on the same images, in their order.
        output: A folder that is absent or empty.
        data_dir: Where the images are, if not where the last run found them.

    Raises:
        UsageError: if the runs do not fit together, or the output is in use.
        DataNotFoundError: if the images are not there.
    """
    runs = [RunDirectory(folder) for folder in run_dirs]
    configs = [load_run_config(run.path) for run in runs]
    files = [run.trained_classifier(_WHICH) for run in runs]
    _check(runs, output)
    networks = [load_float32(file) for file in files]
    mean = mean_weights(networks, files)
    last, generators = configs[-1], runs[-1].networks(_WHICH)
    info, training, _ = training_images(last, data_dir=data_dir)
    model = build_model(
        # Of any momentum, so that there is an average to be set.
        last.replace(averaging=last.averaging or 0.9, precision="float32"),
        info.image_shape,
        info.num_classes,
        num_images=len(training.labels),
        classifier=networks[-1],
    )
    model.trained.set_weights(mean)
    for generator in model.generators:
        file = generators / f"{generator.name}.keras"
        generator.set_weights(load_float32(file).get_weights())
    batches = batches_of(last, training, with_places=model.method.remembers)
    model.recompute_statistics(batches.take(BATCHES))
    written = RunDirectory(output)
    save_networks(model, written.networks(_WHICH))
    write_json(
        written.config,
        {
            **read_json_object(runs[-1].config),
            "averaged": [dataclasses.asdict(config) for config in configs],
        },
    )


def mean_weights(
    networks: Sequence[keras.Model], files: Sequence[Path]
) -> list[np.ndarray]:
    """Returns the means of the weights of networks.

    Args:
        networks: Of equal architecture.
        files: What they were read from, for the error.

    Raises:
        UsageError: if the networks differ in shape.
    """
    shapes = [[weight.shape for weight in each.weights] for each in networks]
    for file, found in zip(files, shapes, strict=True):
        if found != shapes[0]:
            raise UsageError(
                f"{file} has weights of other shapes than {files[0]}; only "
                "runs of one network can be averaged."
            )
    return [
        np.asarray(np.mean(weights, axis=0, dtype=np.float64), np.float32)
        for weights in zip(
            *(each.get_weights() for each in networks), strict=True
        )
    ]


def _check(runs: Sequence[RunDirectory], output: Path) -> None:
    if len(runs) < 2:
        raise UsageError(
            "`run_dirs` names at least two runs. Received: "
            f"{', '.join(str(run.path) for run in runs)}."
        )
    seen = [stored_dataset(run.path).get("identity") for run in runs]
    for run, identity in zip(runs, seen, strict=True):
        if identity != seen[-1]:
            raise UsageError(
                f"{run.path} was trained on other images than "
                f"{runs[-1].path}: its average would be of two things."
            )
    check_free("output", output)


if __name__ == "__main__":
    main()
