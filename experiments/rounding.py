"""Rounds a classifier's weights, so that its file packs to half its size.

    python -m experiments.rounding --run_dir=R --output=R2

Of the 24 bits of float32's precision 8 are kept, as many as bfloat16 has; the
zeros in place of the others cost git and wheels nothing. The output is a run
directory, which is evaluated as any other: what is published is what was
measured.
"""

import argparse
from pathlib import Path

import numpy as np

from experiments.harness.ending import error_line
from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.files import check_free, read_json_object, write_json
from tfgan_robust.networks.storing import save_network
from tfgan_robust.runs.directory import RunDirectory

BITS = 8
# Under which name config.json, and a card, say so.
BITS_KEPT = "bits of weights"


def main() -> None:
    """Writes the run directory of the rounded classifier."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run_dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--checkpoint", default="last")
    with error_line():
        round_classifier(**vars(parser.parse_args()))


def round_classifier(
    run_dir: Path, output: Path, checkpoint: str = "last"
) -> None:
    """Writes a run directory with a classifier of fewer bits.

    Args:
        run_dir: Of its training.
        output: A folder that is absent or empty.
        checkpoint: Which of the run's classifiers.

    Raises:
        UsageError: if there is no such classifier, or the output is in use.
    """
    run, written = RunDirectory(run_dir), RunDirectory(output)
    check_free("output", output)
    network = load_float32(run.trained_classifier(checkpoint))
    network.set_weights([rounded(each) for each in network.get_weights()])
    written.networks(checkpoint).mkdir(parents=True)
    save_network(network, written.classifier(checkpoint))
    write_json(
        written.config,
        {**read_json_object(run.config), BITS_KEPT: BITS},
    )


def rounded(weights: np.ndarray) -> np.ndarray:
    """Returns the nearest numbers of `BITS` bits, at any exponent.

    Args:
        weights: float32.
    """
    mantissa, exponent = np.frexp(weights)
    kept = np.rint(mantissa * 2**BITS) / np.float32(2**BITS)
    return np.ldexp(kept, exponent).astype(np.float32)


if __name__ == "__main__":
    main()
