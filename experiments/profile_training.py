"""Which operations a training step spends its time in.

    python -m experiments.profile_training --settings='{"method": "nfgsm"}'

prints the time of each kind of operation in a step, summed over threads, and
the share of the convolutions.
"""

import argparse
import collections
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from experiments.harness.steps import (
    Step,
    about,
    compiled_step,
    usual,
)
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.runs.presets import resolve

# Of a kind of operation, whichever kernel computes it.
_CONVOLUTION = "Conv2D"
_SHOWN = 16


class Share(NamedTuple):
    """What a kind of operation takes of a step.

    Attributes:
        milliseconds: Summed over threads, and over what waits inside it.
        number: How many there are.
    """

    milliseconds: float
    number: float


def profile(run: Step, steps: int) -> dict[str, Share]:
    """Returns what each kind of operation takes of a step, the longest first.

    Args:
        run: The step, compiled and warm.
        steps: How many are averaged.

    Raises:
        TfganRobustError: if TensorFlow's profiler recorded nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(steps):
                run()
        found = list(_operations(Path(folder)))
    if not found:
        raise TfganRobustError("TensorFlow's profiler recorded no operation.")
    times: collections.Counter[str] = collections.Counter()
    counts = collections.Counter(kind for kind, _ in found)
    for kind, picoseconds in found:
        times[kind] += picoseconds
    return {
        kind: Share(total / 1e9 / steps, counts[kind] / steps)
        for kind, total in times.most_common()
    }


def _operations(folder: Path) -> Iterator[tuple[str, int]]:
    """Yields kind and picoseconds of each operation that was recorded."""
    # TensorFlow gives no public way to read what its profiler writes.
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    for file in folder.rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    # As in "classifier/block1_conv1/Conv2D:Conv2D".
                    _, colon, kind = name.partition(":")
                    if colon and kind.isidentifier():
                        yield kind, event.duration_ps


def main() -> None:
    """Profiles a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--settings",
        type=json.loads,
        default={},
        help="of a training, as JSON; default: those of the preset",
    )
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    settings = {"dataset": "cifar10", **arguments.settings}
    run = compiled_step(settings)
    taken = 1e3 * usual(run, arguments.steps)
    shares = profile(run, arguments.steps)
    whole = sum(share.milliseconds for share in shares.values())
    where = about(resolve(settings).precision)
    print(f"{settings}\n{', '.join(f'{k}: {v}' for k, v in where.items())}")
    print(f"\na step: {taken:.1f} ms; its operations: {whole:.1f} ms\n")
    print("| operation | ms | share, % | count |\n|---|---|---|---|")
    for kind, share in list(shares.items())[:_SHOWN]:
        print(
            f"| {kind.removeprefix('_MklNative')} | {share.milliseconds:.2f} "
            f"| {100 * share.milliseconds / whole:.1f} | {share.number:.0f} |"
        )
    convolutions = sum(
        share.milliseconds
        for kind, share in shares.items()
        if _CONVOLUTION in kind
    )
    print(f"\nconvolutions: {100 * convolutions / whole:.0f} %")


if __name__ == "__main__":
    main()
