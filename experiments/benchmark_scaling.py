"""What training on several machines costs: measured here, computed for more.

Measured: the seconds of a step, and the bytes that it sums over replicas, for
replicas on one machine (`num_devices`) and for workers, processes that train
together as machines do (TF_CONFIG). Each replica has a batch of its own of
`--batch_size` images, in one process for each row.

Computed: the efficiency that N machines would reach, from a step of one
replica, the bytes, and stated networks. A ring all-reduce of B bytes sends
2 (N - 1) / N x B through each machine's link, in 2 (N - 1) rounds for each
sum (Patarasuk and Yuan, 2009). No sum is hidden behind the computation, so
that a machine that hides some does better; and every machine is taken to be as
fast as this one, so that one whose machines wait for each other does worse.

    python -m experiments.benchmark_scaling --formulation=grad_x

Run it on an otherwise idle machine. Replicas that share a processor slow each
other down: their seconds say what this machine does, and only the bytes and
the step of one replica go into what is computed.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from tfgan_robust.lazy import load
from tfgan_robust.reports.tables import markdown_table
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.presets import resolve

SHAPE, CLASSES = (32, 32, 3), 10
REPLICAS = "num_devices"
WORKERS = "workers"
# Seconds between two looks at those that measure.
_PAUSE = 0.1
# What a step of training is made of, which flags may change.
SETTINGS = ("method", "formulation", "classifier", "classifier_width")


class Step(NamedTuple):
    """A step of training, as it was measured.

    Attributes:
        seconds: Median.
        sums: Over replicas, one after another.
        num_bytes: Of these, in one replica.
        parameters: Of all networks, trainable.
    """

    seconds: float
    sums: int
    num_bytes: int
    parameters: int


class Network(NamedTuple):
    """What joins machines; stated, not measured.

    Attributes:
        gigabits: That a link carries in a second, each way.
        microseconds: That a message takes.
    """

    gigabits: float
    microseconds: float


def seconds_of_sums(step: Step, network: Network, machines: int) -> float:
    """Returns what a ring all-reduce takes in each step."""
    sent = 2 * (machines - 1) / machines * step.num_bytes
    rounds = 2 * (machines - 1) * step.sums
    return (
        sent * 8 / (network.gigabits * 1e9)
        + rounds * network.microseconds / 1e6
    )


def efficiency(
    step: Step, network: Network, machines: int, *, divided: bool
) -> float:
    """Returns the share of N machines' time that goes into training.

    Args:
        step: Of one replica.
        network: Between the machines.
        machines: N.
        divided: Whether the N machines divide the batch of one, which is
            taken to take an Nth of the time; else each has a batch as large.
    """
    computing = step.seconds / machines if divided else step.seconds
    return computing / (computing + seconds_of_sums(step, network, machines))


@contextmanager
def counting() -> Iterator[list[int]]:
    """Yields the bytes of each sum over replicas while graphs are traced.

    TensorFlow packs the tensors of a sum into one. All sums pass through here:
    gradients, those that training adds of itself, and the statistics of batch
    normalisation. Each replica of this process adds its own.
    """
    tf = load("tensorflow")
    found: list[int] = []
    sum_up = tf.distribute.ReplicaContext.all_reduce

    def counted(
        self: Any, reduce_op: Any, value: Any, *args: Any, **options: Any
    ) -> Any:
        tensors = map(tf.convert_to_tensor, tf.nest.flatten(value))
        found.append(
            sum(t.shape.num_elements() * t.dtype.size for t in tensors)
        )
        return sum_up(self, reduce_op, value, *args, **options)

    tf.distribute.ReplicaContext.all_reduce = counted
    try:
        yield found
    finally:
        tf.distribute.ReplicaContext.all_reduce = sum_up


def measure(settings: dict[str, Any], batch_size: int, steps: int) -> Step:
    """Measures a step in this process: with others, if TF_CONFIG says so.

    Args:
        settings: Of a run, `num_devices` among them.
        batch_size: Of each replica.
        steps: How many are timed.
    """
    tf = load("tensorflow")
    usual = load("experiments.harness.steps:usual")
    build_model = load("tfgan_robust.training.build:build_model")
    config = resolve({**settings, "batch_size": batch_size})
    config = config.replace(batch_size=batch_size * (config.num_devices or 1))
    strategy = _strategy(config)
    tasks = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    local = strategy.num_replicas_in_sync // len(tasks.get("worker", [""]))
    generator = np.random.default_rng(0)
    images = generator.random((batch_size, *SHAPE), np.float32)
    labels = generator.integers(CLASSES, size=batch_size)
    with strategy.scope():
        model = build_model(config, SHAPE, CLASSES)

    def replica(_: Any) -> Any:
        return tf.constant(images), tf.constant(labels)

    batch = strategy.experimental_distribute_values_from_function(replica)

    @tf.function(autograph=False)
    def step(batch: Any) -> Any:
        return strategy.run(model.train_step, args=(batch,))

    with counting() as found:
        compiled = step.get_concrete_function(batch)
    alone = strategy.num_replicas_in_sync == 1

    def run() -> None:
        for result in tf.nest.flatten(compiled(batch)):
            for part in strategy.experimental_local_results(result):
                part.numpy()

    run()
    return Step(
        usual(run, steps),
        0 if alone else len(found) // local,
        0 if alone else sum(found) // local,
        sum(int(np.prod(v.shape)) for v in model.trainable_variables),
    )


def _strategy(config: TrainConfig) -> Any:
    """Returns the strategy, which comes before anything is computed."""
    if "TF_CONFIG" in os.environ:
        return load("tensorflow").distribute.MultiWorkerMirroredStrategy()
    return load("tfgan_robust.training.devices").configure(config)


def started(
    kind: str, count: int, settings: dict[str, Any], arguments: Any
) -> Step:
    """Measures a step of several replicas, or workers, in fresh processes."""
    devices = count if kind == REPLICAS else 1
    command = [
        sys.executable, "-m", "experiments.benchmark_scaling", "--measure",
        json.dumps({**settings, REPLICAS: devices}),
        f"--batch_size={arguments.batch_size}", f"--steps={arguments.steps}",
    ]  # fmt: skip
    environments: list[dict[str, str]] = [{}]
    if kind == WORKERS:
        environments = [{"TF_CONFIG": each} for each in _clusters(count)]
    lines = last_lines(command, environments)
    if lines is None:
        sys.exit(f"A step of {count} {kind} could not be measured; see above.")
    # The slowest of them is what all wait for.
    return max(Step(*json.loads(line)) for line in lines)


def last_lines(
    command: Sequence[str], environments: Sequence[Mapping[str, str]]
) -> list[str] | None:
    """Runs a command several times at once; returns the last line of each.

    Args:
        command: With its arguments.
        environments: What is added to the environment, for each process.

    Returns:
        None if one failed: those that would wait for it are ended.
    """
    with ExitStack() as stack:
        outputs = [
            stack.enter_context(tempfile.TemporaryFile("w+"))
            for _ in environments
        ]
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command, env={**os.environ, **environment}, stdout=output
                )
            )
            for environment, output in zip(environments, outputs, strict=True)
        ]
        try:
            codes = [process.poll() for process in processes]
            while None in codes and not any(codes):
                time.sleep(_PAUSE)
                codes = [process.poll() for process in processes]
        finally:
            for process in processes:
                process.kill()
        if any(codes):
            return None
        for output in outputs:
            output.seek(0)
        return [output.read().splitlines()[-1] for output in outputs]


def _clusters(count: int) -> Iterator[str]:
    """Yields the TF_CONFIG of each of several workers on this machine."""
    places = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{place.getsockname()[1]}" for place in places]
    for place in places:
        place.close()
    for index in range(count):
        task = {"type": "worker", "index": index}
        yield json.dumps({"cluster": {"worker": addresses}, "task": task})


def measured_table(found: dict[tuple[str, int], Step]) -> str:
    """Lays out what was measured."""
    return markdown_table(
        ["measured", "seconds of a step", "sums", "MB of sums"],
        [
            [
                f"{count} {kind}",
                f"{step.seconds:.4f}",
                f"{step.sums:,}",
                f"{step.num_bytes / 1e6:.2f}",
            ]
            for (kind, count), step in found.items()
        ],
    )


def computed_table(
    step: Step, networks: Sequence[Network], machines: Sequence[int]
) -> str:
    """Lays out what follows for networks and machines that nobody tried."""
    return markdown_table(
        [
            "computed, not measured: network",
            "machines",
            "seconds of sums",
            "efficiency, each with a batch",
            "efficiency, one batch divided",
        ],
        [
            [
                f"{network.gigabits:g} Gbit/s, {network.microseconds:g} us",
                str(count),
                f"{seconds_of_sums(step, network, count):.4f}",
                *(
                    f"{efficiency(step, network, count, divided=each):.0%}"
                    for each in (False, True)
                ),
            ]
            for network in networks
            for count in machines
        ],
    )


def numbers(text: str) -> list[int]:
    """Parses comma-separated whole numbers."""
    return [int(each) for each in text.split(",")]


def main() -> None:
    """Runs the benchmark."""
    arguments = _parser().parse_args()
    if arguments.measure:
        step = measure(
            json.loads(arguments.measure), arguments.batch_size, arguments.steps
        )
        print(json.dumps(step))
        return
    given = {n: getattr(arguments, n) for n in SETTINGS}
    settings = {name: text for name, text in given.items() if text is not None}
    config = resolve(settings)
    rows = [(REPLICAS, count) for count in arguments.replicas]
    rows += [(WORKERS, count) for count in arguments.workers]
    found = {row: started(*row, settings, arguments) for row in rows}
    several = [step for step in found.values() if step.num_bytes]
    if (REPLICAS, 1) not in found or not several:
        sys.exit("Measure 1 replica, and several replicas or workers.")
    step = found[REPLICAS, 1]._replace(
        sums=several[0].sums, num_bytes=several[0].num_bytes
    )
    print(
        f"\n{config.run_label}, {step.parameters:,} parameters, batches of "
        f"{arguments.batch_size} images for each replica\n"
    )
    print(measured_table(found))
    networks = [
        Network(each, arguments.microseconds) for each in arguments.gigabits
    ]
    print(f"\n{computed_table(step, networks, arguments.machines)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--replicas", type=numbers, default=[1, 2])
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--machines", type=numbers, default=[2, 4, 8, 16, 64])
    parser.add_argument("--gigabits", type=numbers, default=[10, 100])
    parser.add_argument("--microseconds", type=float, default=50)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    for name in SETTINGS:
        parser.add_argument(f"--{name}")
    return parser


if __name__ == "__main__":
    main()
