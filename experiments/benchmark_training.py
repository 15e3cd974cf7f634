"""Speed and memory of training, as ratios measured in one run.

Three tables: the time of a step of each method relative to natural training;
the whole training command relative to the bare compiled step; the peak memory
of the training command.

    python experiments/benchmark_training.py --data_dir=DIR

Run it on an otherwise idle machine.
"""

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.formulations import FORMULATIONS
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.build import build_model

SHAPE, CLASSES = (32, 32, 3), 10
# Both terms of equation 5 for every method, so that they do the same job.
SAME_OBJECTIVE = {"clean_weight": 1.0}
LOOP_STEPS = 30
MEMORY_STEPS = 6


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what is timed; the first is the unit."""
    yield "natural", {"method": "natural"}
    yield "fgsm", {"method": "fgsm"}
    for steps in (7, 10):
        yield f"pgd-{steps}", {"method": "pgd", "attack_steps": steps}
    for update, mode in (
        ("alternating", "inference"),
        ("simultaneous", "training"),
    ):
        for formulation in FORMULATIONS:
            yield (
                f"gan {formulation}, {update}",
                {
                    "formulation": formulation,
                    "update": update,
                    "generator_mode": mode,
                },
            )


def compiled_step(settings: dict[str, Any]) -> Callable[[], None]:
    """Returns a bare step on one fixed batch, compiled and warm."""
    config = resolve(settings)
    model = build_model(config, SHAPE, CLASSES)
    generator = np.random.default_rng(0)
    images = generator.random((config.batch_size, *SHAPE), np.float32)
    labels = generator.integers(CLASSES, size=config.batch_size)
    batch = (tf.constant(images), tf.constant(labels))
    step = tf.function(lambda: model.train_step(batch), autograph=False)

    def run() -> None:
        step()["loss"].numpy()

    run()
    return run


def seconds(run: Callable[[], None], steps: int) -> float:
    """Returns the median time of a step."""
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def time_methods(common: dict[str, Any], steps: int) -> None:
    """Prints the time of a step of each method."""
    print("\n| step | seconds | relative to natural |\n|---|---|---|")
    unit = None
    for name, settings in variants():
        run = compiled_step({**common, **SAME_OBJECTIVE, **settings})
        taken = seconds(run, steps)
        unit = unit or taken
        print(f"| {name} | {taken:.3f} | {taken / unit:.2f} |", flush=True)
        keras.backend.clear_session()


def train_command(
    settings: dict[str, Any], folder: Path
) -> tuple[list[dict[str, str]], float]:
    """Runs the training command; returns metrics and peak memory in GiB."""
    file = folder / "settings.json"
    file.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "tfgan_robust.train", "--report_images=0"]
    command += [f"--config={file}", f"--run_dir={folder / 'run'}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    with (folder / "run" / "metrics.csv").open(newline="") as metrics:
        return list(csv.DictReader(metrics)), peak


def time_loop(common: dict[str, Any], data: dict[str, Any]) -> None:
    """Prints what the training command adds to the bare step.

    Natural training, whose steps are the cheapest, so that the share of all
    else is the largest. Of two epochs the second counts: compilation is in
    the first, and checkpoints, summaries and logging are in both.
    """
    settings = {**common, "method": "natural"}
    run = compiled_step(settings)
    before = seconds(run, LOOP_STEPS)
    with tempfile.TemporaryDirectory() as folder:
        rows, _ = train_command(
            {
                **settings,
                **data,
                "train_images": LOOP_STEPS * common["batch_size"],
                "validation_images": 128,
                "eval_images": 128,
                "epochs": 2,
                "eval_every": 2,
                "checkpoint_every": LOOP_STEPS // 2,
            },
            Path(folder),
        )
    after = seconds(run, LOOP_STEPS)
    loop = common["batch_size"] / float(rows[1]["images_per_second"])
    bare = (before + after) / 2
    print(
        f"\nbare step {before:.3f} s before, {after:.3f} s after; step of the "
        f"training command {loop:.3f} s; ratio {loop / bare:.3f}",
        flush=True,
    )


def measure_memory(common: dict[str, Any], data: dict[str, Any]) -> None:
    """Prints the peak memory of the training command with generators."""
    with tempfile.TemporaryDirectory() as folder:
        _, peak = train_command(
            {
                **common,
                **data,
                "train_images": MEMORY_STEPS * common["batch_size"],
                "eval_images": 128,
                "epochs": 1,
            },
            Path(folder),
        )
    print(f"\npeak memory of the training command: {peak:.2f} GiB")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", help="prepared CIFAR-10")
    parser.add_argument("--classifier_width", type=float, default=1.0)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    common = {
        "classifier_width": arguments.classifier_width,
        "batch_size": arguments.batch_size,
    }
    data = {"data_dir": arguments.data_dir} if arguments.data_dir else {}
    # First, while this process holds little memory of its own.
    measure_memory(common, data)
    time_loop(common, data)
    time_methods(common, arguments.steps)


if __name__ == "__main__":
    main()
