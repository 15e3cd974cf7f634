"""Speed and memory of training, as ratios measured in one run.

The peak memory of the training command, the command relative to its bare
compiled step, and the time of a step of each method relative to natural
training and to FGSM with the same terms of the loss. Beside PyTorch's, if
`torch` of `requirements-bench.txt` is installed, stand ours in both precisions;
others have that which `auto` picks.

    python -m experiments.benchmark_training --data_dir=DIR

Run it on an otherwise idle machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.harness.steps import (
    CLASSES,
    SHAPE,
    Step,
    about,
    compiled_step,
    fixed_batch,
    time_steps,
    usual,
)
from tfgan_robust.attacks.formulations import FORMULATIONS
from tfgan_robust.attacks.options import STEP_RATIO
from tfgan_robust.methods.gradient_settings import FGSM_STEP
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.build import build_model
from tfgan_robust.training.records import read_metrics

# Both terms of equation 5 for every method, so that they do the same job.
SAME_OBJECTIVE = {"clean_weight": 1.0}
IN_TORCH = ("natural", "fgsm", "pgd-7")
# The width of the preset `recommended`.
NARROW = 0.0625
LOOP_STEPS = 30
MEMORY_STEPS = 6


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what is timed; the first is the unit."""
    yield "natural", {"method": "natural"}
    yield "fgsm", {"method": "fgsm"}
    yield "nfgsm", {"method": "nfgsm"}
    yield "trades", {"method": "trades"}
    yield "pgd-7", {"method": "pgd", "attack_steps": 7}
    gan = {"method": "gan"}
    whole = {"generator_assignment": "all", "generator_width": 1.0}
    yield (
        "gan grad_x, all, alternating",
        {
            **gan,
            **whole,
            "update": "alternating",
            "generator_mode": "inference",
        },
    )
    yield "gan grad_x, all", {**gan, **whole}
    for width in (0.25, NARROW):
        split = {**gan, "generator_width": width}
        yield f"gan grad_x, split, x{width:g}", split
    for formulation in FORMULATIONS:
        start = {"method": "start", "generator_width": NARROW}
        yield (
            f"start {formulation}, x{NARROW:g}",
            {**start, "formulation": formulation},
        )


def step_in_torch(settings: dict[str, Any], *, bfloat16: bool) -> Step:
    """Returns the same in PyTorch, of a method without generators."""
    from experiments.peers.torch_training import torch_step

    config: Any = resolve({**settings, "precision": "float32"})
    count = {"natural": 0, "fgsm": 1}.get(config.method)
    ratio = FGSM_STEP
    if count is None:
        count = config.attack_steps
        ratio = STEP_RATIO / count
    return torch_step(
        build_model(config, SHAPE, CLASSES).classifier,
        *fixed_batch(config.batch_size),
        num_steps=count,
        eps=config.eps,
        step_size=ratio * config.eps,
        bfloat16=bfloat16,
    )


def print_steps(common: dict[str, Any], steps: int) -> None:
    """Prints the time of a step of each method, with both terms and without.

    Args:
        common: Settings of all.
        steps: How many steps are timed at once.
    """
    wanted: dict[Any, Callable[[], Step]] = {}
    for name, given in variants():
        settings = {**common, **given}
        wanted[name, "as trained"] = partial(compiled_step, settings)
        if settings["method"] not in ("natural", "trades"):
            both = {**settings, **SAME_OBJECTIVE}
            wanted[name, "both terms"] = partial(compiled_step, both)
        if name not in IN_TORCH or not find_spec("torch"):
            continue
        for precision in ("float32", "bfloat16"):
            policy = precision.replace("bf", "mixed_bf")
            wanted[f"{name}, {precision}", "as trained"] = partial(
                compiled_step, {**settings, "precision": policy}
            )
            wanted[f"{name}, PyTorch {precision}", "as trained"] = partial(
                step_in_torch, settings, bfloat16=precision == "bfloat16"
            )
    print("\n" + "\n".join(table(time_steps(wanted, steps))))


def table(found: Mapping[tuple[str, str], float]) -> Iterator[str]:
    """Yields lines of Markdown.

    Args:
        found: Seconds, by step and objective.
    """
    yield (
        "| step | objective | seconds | relative to natural "
        "| relative to fgsm of the same objective |"
    )
    yield 5 * "|---" + "|"
    for (name, objective), taken in found.items():
        natural, fgsm = found["natural", "as trained"], found["fgsm", objective]
        yield (
            f"| {name} | {objective} | {taken:.3f} | {taken / natural:.2f} "
            f"| {taken / fgsm:.2f} |"
        )


def train_command(
    settings: dict[str, Any], folder: Path
) -> tuple[list[dict[str, float]], float]:
    """Runs the training command; returns metrics and peak memory in GiB."""
    file = folder / "settings.json"
    file.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "tfgan_robust.train", "--report_images=0"]
    command += [f"--config={file}", f"--run_dir={folder / 'run'}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return read_metrics(folder / "run" / "metrics.csv"), peak


def time_loop(common: dict[str, Any], data: dict[str, Any]) -> None:
    """Prints what the training command adds to the bare step.

    Natural training, whose steps are the cheapest, so that the share of all
    else is the largest. Of two epochs the second counts: compilation is in
    the first, and checkpoints, summaries and logging are in both.
    """
    settings = {**common, "method": "natural"}
    run = compiled_step(settings)
    before = usual(run, LOOP_STEPS)
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
    after = usual(run, LOOP_STEPS)
    loop = common["batch_size"] / rows[1]["images_per_second"]
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
                "method": "gan",
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
    parser.add_argument("--steps", type=int, default=1)
    arguments = parser.parse_args()
    common = {
        "classifier_width": arguments.classifier_width,
        "batch_size": arguments.batch_size,
    }
    data = {"data_dir": arguments.data_dir} if arguments.data_dir else {}
    # PyTorch's idle threads spin unless told to sleep, and starve the rest.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    # Memory first, while this process holds little of its own.
    for name, value in about().items():
        print(f"{name}: {value}")
    measure_memory(common, data)
    time_loop(common, data)
    print_steps(common, arguments.steps)


if __name__ == "__main__":
    main()
