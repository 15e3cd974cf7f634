"""How far exports are from the Keras model, in each runtime.

On test images of a run, and on FGSM images that are made on its checkpoint: an
attack that fools the checkpoint should fool what is served as well.

    pip install -e '.[dev]'
    python -m experiments.serving_differences \
        --run_dir=experiments/cifar10/pgd --data_dir=DIR --eps=8/255
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from experiments.peers.serving_runtimes import (
    KERAS,
    Answer,
    add_runtimes,
    classifier_of,
    json_file,
    load_all,
    versions,
)
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.data.loading import load_test
from tfgan_robust.data.splits import Split
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.evaluation.radii import parse_eps
from tfgan_robust.files import write_json
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.networks.logits import as_floats, classifier_logits
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.tables import markdown_table
from tfgan_robust.runs.stored import load_run_config, stored_dataset

BATCHES = (1, 7, 64)
# Divided by each of the sizes above.
NUM_IMAGES = 448


@dataclasses.dataclass(frozen=True)
class Row:
    """How one runtime answers.

    Attributes:
        runtime: Its name.
        differences: By the size of a batch, the largest difference of a logit
            from Keras', on clean and on attacked images.
        fooled: How many images are right while clean and wrong when attacked,
            in the largest batches.
        other_answers: How many images, clean and attacked, get another class
            than from Keras, in batches of any size.
    """

    runtime: str
    differences: dict[int, float]
    fooled: int
    other_answers: int


def attacked(
    classifier: keras.Model, images: np.ndarray, labels: np.ndarray, eps: float
) -> np.ndarray:
    """Returns the FGSM images of a classifier (arXiv:1412.6572).

    Args:
        classifier: From images to logits.
        images: float32 [n, height, width, channels] in [0, 1].
        labels: Integer [n].
        eps: Radius on the [0, 1] pixel scale.
    """
    logits_fn = classifier_logits(classifier, "inference")
    size = max(BATCHES)
    found = [
        pgd(
            logits_fn,
            tf.constant(images[start : start + size]),
            tf.constant(labels[start : start + size]),
            eps=eps,
            num_steps=1,
            step_size=eps,
        )
        for start in range(0, len(images), size)
    ]
    return np.concatenate(found)


def in_batches(answer: Answer, images: np.ndarray, size: int) -> np.ndarray:
    """Returns the logits of images that are asked for `size` at a time."""
    starts = range(0, len(images), size)
    return np.concatenate([answer(images[s : s + size]) for s in starts])


def compare(
    answers: Mapping[str, Answer],
    clean: np.ndarray,
    fgsm: np.ndarray,
    labels: np.ndarray,
) -> list[Row]:
    """Compares each runtime with Keras, which is one of them.

    Args:
        answers: By the name of each runtime, Keras among them.
        clean: float32 [n, height, width, channels] in [0, 1].
        fgsm: The same images, attacked.
        labels: Integer [n].
    """
    both = np.concatenate([clean, fgsm])
    expected = in_batches(answers[KERAS], both, max(BATCHES))
    rows = []
    for name, answer in answers.items():
        logits = {size: in_batches(answer, both, size) for size in BATCHES}
        classes = {s: found.argmax(axis=-1) for s, found in logits.items()}
        before, after = np.split(classes[max(BATCHES)], 2)
        others = [c != expected.argmax(axis=-1) for c in classes.values()]
        rows.append(
            Row(
                name,
                {s: float(abs(f - expected).max()) for s, f in logits.items()},
                int(np.sum((before == labels) & (after != labels))),
                int(np.sum(np.any(others, axis=0))),
            )
        )
    return rows


def table(rows: Iterable[Row]) -> str:
    """Lays out how all runtimes answer."""
    header = ["runtime", *(f"batch {size}" for size in BATCHES)]
    return markdown_table(
        [*header, "fooled", "other answers"],
        [
            (
                row.runtime,
                *(f"{row.differences[size]:.1e}" for size in BATCHES),
                str(row.fooled),
                str(row.other_answers),
            )
            for row in rows
        ],
    )


def load_images(options: argparse.Namespace) -> Split:
    """Loads the first test images of the data that a run was trained on."""
    config = load_run_config(options.run_dir)
    _, test = load_test(
        config.dataset,
        data_dir=options.data_dir or config.data_dir,
        image_size=config.image_size,
        class_names=stored_dataset(options.run_dir).get("class_names"),
    )
    count = options.num_images
    return Split(test.images[:count], test.labels[:count])


def run(options: argparse.Namespace) -> None:
    """Compares all runtimes, and prints and writes what was found."""
    classifier = classifier_of(options.run_dir)
    (eps,) = parse_eps(options.eps)
    test = load_images(options)
    clean = as_floats(test.images)
    fgsm = attacked(classifier, clean, test.labels, eps)
    with tempfile.TemporaryDirectory() as folder:
        answers = load_all(classifier, Path(folder), options.runtimes)
        rows = compare(answers, clean, fgsm, test.labels)
    device = describe_devices()
    if options.output:
        write_json(
            options.output,
            {
                "run": options.run_dir.name,
                "device": device,
                "eps": eps,
                "num_images": len(clean),
                "versions": versions(options.runtimes),
                "rows": [dataclasses.asdict(row) for row in rows],
            },
        )
    print(
        f"{options.run_dir.name}, {len(clean)} test images and as many of FGSM "
        f"at {format_eps(eps)}, {device}\n\n{table(rows)}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the comparison.

    Args:
        arguments: Flags; None for those of the command line.
    """
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--run_dir", type=Path, required=True, help="folder of a run"
    )
    parser.add_argument("--data_dir", help="of the run's data set")
    parser.add_argument("--eps", default="8/255", help="of FGSM; one radius")
    parser.add_argument("--num_images", type=int, default=NUM_IMAGES)
    parser.add_argument("--output", type=json_file, help="JSON")
    add_runtimes(parser)
    options = parser.parse_args(arguments)
    try:
        run(options)
    except TfganRobustError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
