"""Latency and throughput of exports, beside the Keras model, in one run.

Each runtime answers the same images in the same process, a few calls at a time
in turn, so that whatever else the machine does falls on all of them:

    pip install -e '.[dev]'
    python -m experiments.benchmark_serving \
        --run_dir=experiments/cifar10/grad_x --output=/tmp/serving.json

Run it on an idle machine. Nothing is trained: `--classifier=FILE` takes any
Keras model of images. The Keras model is compiled, by `predict_on_batch`; all
runtimes have all cores.
"""

import argparse
import dataclasses
import datetime
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments.peers.serving_runtimes import (
    KERAS,
    Answer,
    add_runtimes,
    classifier_of,
    json_file,
    load_all,
    versions,
)
from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.files import write_json
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.networks.shapes import shapes_of
from tfgan_robust.reports.tables import markdown_table

BATCHES = (1, 8, 64)
CALLS = 200
# How often a runtime is asked in a row. The first calls of a turn meet caches
# and threads as the one before left them, and are not counted.
TURN, UNCOUNTED = 10, 3
MILLISECONDS = 1000


@dataclasses.dataclass(frozen=True)
class Row:
    """What one runtime takes at one size of a batch.

    Attributes:
        runtime: Its name.
        batch: Number of images of a call.
        calls: How many were counted.
        median: Of the seconds of a call.
        percentile_95: Of the same.
        images_per_second: Of all counted calls together.
    """

    runtime: str
    batch: int
    calls: int
    median: float
    percentile_95: float
    images_per_second: float

    @classmethod
    def of(cls, runtime: str, batch: int, seconds: Sequence[float]) -> "Row":
        """Summarises the seconds of all counted calls."""
        return cls(
            runtime, batch, len(seconds),
            float(np.median(seconds)), float(np.percentile(seconds, 95)),
            batch * len(seconds) / sum(seconds),
        )  # fmt: skip


def time_all(
    answers: Mapping[str, Answer], images: np.ndarray, calls: int
) -> dict[str, list[float]]:
    """Returns the seconds of each counted call, by runtime, in turns.

    Args:
        answers: By the name of each runtime, what is called.
        images: float32 [batch, height, width, channels], the same each time.
        calls: How many are counted of each.
    """
    found: dict[str, list[float]] = {name: [] for name in answers}
    while len(found[KERAS]) < calls:
        turn = min(TURN, calls - len(found[KERAS]))
        for name, answer in answers.items():
            taken = []
            for _ in range(UNCOUNTED + turn):
                started = time.perf_counter()
                answer(images)
                taken.append(time.perf_counter() - started)
            found[name] += taken[UNCOUNTED:]
    return found


def measure(
    classifier: keras.Model,
    runtimes: Iterable[str],
    batches: Iterable[int],
    calls: int,
) -> list[Row]:
    """Measures a classifier in all runtimes, at each size of a batch."""
    shape, _ = shapes_of(classifier)
    generator = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        answers = load_all(classifier, Path(folder), runtimes)
        for batch in batches:
            images = generator.random((batch, *shape), np.float32)
            taken = time_all(answers, images, calls)
            rows += [Row.of(name, batch, each) for name, each in taken.items()]
    return rows


def table(rows: Iterable[Row]) -> str:
    """Lays out what was measured; ratios are to Keras at the same batch."""
    lines = []
    keras_takes: dict[int, Row] = {}
    for row in rows:
        unit = keras_takes.setdefault(row.batch, row)
        lines.append(
            (
                row.runtime,
                str(row.batch),
                f"{MILLISECONDS * row.median:.3f}",
                f"{MILLISECONDS * row.percentile_95:.3f}",
                f"{row.median / unit.median:.2f}",
                f"{row.images_per_second:,.0f}",
                f"{row.images_per_second / unit.images_per_second:.2f}",
            )
        )
    header = ["runtime", "batch", "median, ms", "95th percentile, ms"]
    header += ["median / Keras", "images / s", "images / Keras"]
    return markdown_table(header, lines)


def about(
    options: argparse.Namespace, classifier: keras.Model
) -> dict[str, Any]:
    """Says when, on what and of what it was measured."""
    shape, classes = shapes_of(classifier)
    return {
        "date": datetime.date.today().isoformat(),
        "device": describe_devices(),
        "classifier": (options.run_dir or options.classifier).name,
        "parameters": classifier.count_params(),
        "image_shape": list(shape),
        "num_classes": classes,
        "calls": options.calls,
        "versions": versions(options.runtimes),
    }


def positive(text: str) -> int:
    """Parses a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"must be at least 1. Received: {text}."
        )
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark.

    Args:
        arguments: Flags; None for those of the command line.
    """
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--run_dir", type=Path, help="folder of a run")
    model.add_argument("--classifier", type=Path, help="a .keras file")
    parser.add_argument("--output", type=json_file, required=True, help="JSON")
    parser.add_argument(
        "--batches",
        type=lambda text: [positive(part) for part in text.split(",")],
        default=list(BATCHES),
        help=f"sizes of a batch; default {','.join(map(str, BATCHES))}",
    )
    parser.add_argument(
        "--calls", type=positive, default=CALLS, help="counted, of each"
    )
    add_runtimes(parser)
    options = parser.parse_args(arguments)
    try:
        classifier = (
            classifier_of(options.run_dir)
            if options.run_dir
            else load_float32(options.classifier)
        )
        found = about(options, classifier)
        rows = measure(
            classifier, options.runtimes, options.batches, options.calls
        )
    except TfganRobustError as error:
        parser.error(str(error))
    write_json(
        options.output, {**found, "rows": [dataclasses.asdict(r) for r in rows]}
    )
    print(f"{found['device']}, {found['date']}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
