"""CIFAR-10 as the classifiers of this repository have seen it: through JPEG.

    python -m experiments.reencode --output=DATA

compresses each image of CIFAR-10 as JPEG of quality 75 and writes what
tensorflow-datasets prepared anew, with the ids, the order and the labels as
they were: `--data_dir=DATA` then takes it in place of the original.
"""

import argparse
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import tensorflow as tf
import tensorflow_datasets as tfds

from experiments.harness.ending import error_line
from tfgan_robust.data.loading import load_test
from tfgan_robust.data.provenance import COMPRESSED
from tfgan_robust.errors import UsageError

NAME, QUALITY = "cifar10", 75


def main() -> None:
    """Writes the images, and says where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, help="of the original")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    with error_line():
        print(reencode(arguments.data_dir, arguments.output))


def reencode(data_dir: Path | None, output: Path) -> Path:
    """Writes CIFAR-10 with each image compressed.

    Args:
        data_dir: Directory of tensorflow-datasets, where the original is
            prepared if it is not there; None for its default.
        output: The new one.

    Returns:
        The folder of the set in it.

    Raises:
        DataNotFoundError: if the original can neither be found nor prepared.
        UsageError: if it was compressed before, or the folder is there.
    """
    info, _ = load_test(NAME, data_dir=data_dir)
    if COMPRESSED in info.source:
        raise UsageError(
            "The images were compressed before; give the `data_dir` of the "
            f"original. Received: {info.source}."
        )
    source = Path(tfds.builder(NAME, data_dir=data_dir).data_dir)
    folder = output / NAME / source.name
    if folder.exists():
        raise UsageError(
            f"{folder} is there already; delete it, or give another `output`."
        )
    # Under another name until all of it is there.
    begun = folder.with_name(f"{source.name}.incomplete")
    begun.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if ".tfrecord" in file.name:
            with tf.io.TFRecordWriter(str(begun / file.name)) as writer:
                for record in _compressed(file):
                    writer.write(record)
        else:
            shutil.copyfile(file, begun / file.name)
    return begun.rename(folder)


def _compressed(file: Path) -> Iterator[bytes]:
    """Yields the examples of a file, each with its image compressed."""
    for record in tf.data.TFRecordDataset(str(file)):
        example = tf.train.Example.FromString(record.numpy())
        stored = example.features.feature["image"].bytes_list
        image = PIL.Image.open(io.BytesIO(stored.value[0]))
        smaller = io.BytesIO()
        image.save(smaller, "JPEG", quality=QUALITY)
        stored.value[0] = smaller.getvalue()
        yield example.SerializeToString()


if __name__ == "__main__":
    main()
