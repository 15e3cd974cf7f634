"""Any image classification set that tensorflow-datasets has prepared."""

import contextlib
import difflib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfgan_robust.data.provenance import LOOKED_AT, source_of
from tfgan_robust.data.registry import TFDS
from tfgan_robust.data.resizing import centre, resize
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import DataNotFoundError, UsageError, in_one_line

# Where a set has no test images by that name.
_TESTS = ("test", "validation")
_TEST_PERCENT = 20
# A file that is missing, cut off within an image, or cut off between two;
# examples that are not what the description of the set says.
_DAMAGE = (
    tf.errors.NotFoundError,
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
    tf.errors.InvalidArgumentError,
)


class _Features(NamedTuple):
    """Which features of a set are its images and labels."""

    image: str
    label: str


def load(
    name: str,
    data_dir: str | Path | None,
    image_size: int | None,
    split: str,
) -> tuple[DatasetInfo, Split]:
    """Loads a split of a prepared set; nothing is downloaded.

    Args:
        name: As tensorflow-datasets has it: "cifar100", "emnist/letters",
            "mnist:3.0.1"; also a set of one's own in its format.
        data_dir: Directory of tensorflow-datasets; None for its default,
            which TFDS_DATA_DIR changes.
        image_size: Side in pixels to which the middle square of each image is
            resized; None if all are squares of one size.
        split: "train" or "test". Test images are those of "test", else of
            "validation", else the last 20 percent of "train", which then are
            not trained on.

    Returns:
        Description and images, grey ones as three equal channels, without
        transparency.

    Raises:
        UsageError: for an unknown name, a set without images and class
            labels, sizes that differ, images without a label.
        DataNotFoundError: if the set is not prepared, or damaged.
    """
    builder = _builder(name, data_dir)
    features = _features(name, builder.info)
    part, notes = _part(name, builder.info, split)
    with complete(builder, f"{TFDS}{name}"):
        images, labels = _read(name, builder, features, part, image_size)
        source = source_of(
            builder.info,
            builder.info.full_name.rpartition("/")[0],
            lambda: np.stack(_first(name, builder, features, part)),
        )
    info = DatasetInfo(
        class_names=_class_names(builder.info.features[features.label]),
        image_shape=images.shape[1:],
        source=source,
        notes=notes,
    )
    return info, Split(images, labels)


@contextlib.contextmanager
def complete(builder: tfds.core.DatasetBuilder, called: str) -> Iterator[None]:
    """Says in a line that prepared data are damaged.

    Args:
        builder: Whose data are read.
        called: The data set, for the message.

    Raises:
        DataNotFoundError: if reading them fails.
    """
    try:
        yield
    except _DAMAGE:
        raise DataNotFoundError(
            f"The prepared {called} in {builder.data_dir} is incomplete or "
            "damaged; delete that folder and start again to build it anew."
        ) from None


def _builder(
    name: str, data_dir: str | Path | None
) -> tfds.core.DatasetBuilder:
    """Returns what reads a set that is there."""
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        near = difflib.get_close_matches(name, tfds.list_builders(), 3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"tensorflow-datasets knows no such set, and {_place(data_dir)} "
            f"holds none; {hint}Its catalogue lists the names. "
            f"Received: dataset={TFDS}{name}."
        ) from None
    # An unknown configuration or version, and a name that is none.
    except (AssertionError, KeyError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"tensorflow-datasets cannot find {TFDS}{name}: "
            f"{in_one_line(error)}"
        ) from None
    if not builder.is_prepared():
        given = "" if data_dir is None else f", data_dir={str(data_dir)!r}"
        raise DataNotFoundError(
            f"{TFDS}{name} is not prepared in {builder.data_dir}. Prepare it "
            'once: python -c "import tensorflow_datasets as tfds; '
            f'tfds.builder({name!r}{given}).download_and_prepare()"; or give '
            "the `data_dir` in which it is."
        )
    return builder


def _place(data_dir: str | Path | None) -> str:
    return str(data_dir or tfds.core.constants.DATA_DIR)


def _features(name: str, info: tfds.core.DatasetInfo) -> _Features:
    """Returns the names of the images and of the labels."""
    kinds: Any = info.features
    known = dict(kinds.items()) if hasattr(kinds, "items") else {}
    for pair in (info.supervised_keys, ("image", "label")):
        if not isinstance(pair, tuple) or len(pair) != 2:
            continue
        image, label = (known.get(key) for key in pair)
        if isinstance(image, tfds.features.Image) and isinstance(
            label, tfds.features.ClassLabel
        ):
            return _Features(*pair)
    held = [
        f"{key} ({type(kind).__name__})" for key, kind in sorted(known.items())
    ]
    raise UsageError(
        f"{TFDS}{name} has no images with a class label each; take a set for "
        "image classification, or put the images into folders and use "
        f"`dataset=folder`. Received: {', '.join(held) or 'no features'}."
    )


def _class_names(labels: tfds.features.ClassLabel) -> tuple[str, ...]:
    return tuple(labels.names or map(str, range(labels.num_classes or 0)))


def _part(
    name: str, info: tfds.core.DatasetInfo, split: str
) -> tuple[str, tuple[str, ...]]:
    """Returns which images to read, and what there is to say of them."""
    test = next((each for each in _TESTS if each in info.splits), None)
    if "train" not in info.splits and (split == "train" or test is None):
        raise UsageError(
            f"{TFDS}{name} has no images called train; prepare it so, or put "
            "the images into folders and use `dataset=folder`. Received: "
            f"{', '.join(info.splits)}."
        )
    if test is None:
        kept = 100 - _TEST_PERCENT
        parts = {"train": f"train[:{kept}%]", "test": f"train[{kept}%:]"}
        return parts[split], (
            f"the set has no test images; the last {_TEST_PERCENT} % of its "
            "images stand for them",
        )
    if test == _TESTS[0]:
        return split, ()
    note = "the set has no test images; its validation images stand for them"
    return {"train": "train", "test": test}[split], (note,)


def _read(
    name: str,
    builder: tfds.core.DatasetBuilder,
    features: _Features,
    part: str,
    image_size: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 [n, height, width, 3] and int64 [n]."""
    images: list[np.ndarray] = []
    labels: list[int] = []
    for example in _examples(builder, features, part):
        image = _as_rgb(name, example[features.image])
        if image_size is not None:
            image = resize(centre(image)[np.newaxis], image_size)[0]
        elif image.shape[0] != image.shape[1]:
            raise _sizes_differ(name, image, image)
        elif images and image.shape != images[0].shape:
            raise _sizes_differ(name, images[0], image)
        images.append(image)
        labels.append(example[features.label])
    if not images:
        raise UsageError(f"{TFDS}{name} holds no images in {part}.")
    if min(labels) < 0:
        raise UsageError(
            f"{TFDS}{name} has images without a label in {part}; use a set "
            "whose test images have labels."
        )
    return np.stack(images), np.array(labels, np.int64)


def _first(
    name: str,
    builder: tfds.core.DatasetBuilder,
    features: _Features,
    part: str,
) -> list[np.ndarray]:
    """Returns those that tell what was done to all, before any resizing."""
    examples = _examples(builder, features, part)
    return [
        _as_rgb(name, example[features.image])
        for example in itertools.islice(examples, LOOKED_AT)
    ]


def _examples(
    builder: tfds.core.DatasetBuilder, features: _Features, part: str
) -> Iterable[Any]:
    # Whatever else belongs to an example is not looked at.
    only = tfds.decode.PartialDecoding(dict.fromkeys(features, True))
    return tfds.as_numpy(builder.as_dataset(split=part, decoders=only))


def _sizes_differ(
    name: str, first: np.ndarray, second: np.ndarray
) -> UsageError:
    sizes = dict.fromkeys(
        f"{i.shape[0]} x {i.shape[1]}" for i in (first, second)
    )
    return UsageError(
        "Without `image_size` all images must be squares of one size. "
        f"Received: {TFDS}{name} with images of {' and '.join(sizes)} pixels; "
        "give `image_size=32`, for example."
    )


def _as_rgb(name: str, image: np.ndarray) -> np.ndarray:
    """Returns uint8 [height, width, 3] of grey, RGB and RGBA images."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    channels = image.shape[-1]
    if image.dtype != np.uint8 or channels not in (1, 3, 4):
        raise UsageError(
            "Images must have 8 or 16 bits in 1, 3 or 4 channels. Received: "
            f"{TFDS}{name} with {image.dtype} in {channels} channels."
        )
    return np.repeat(image, 3, axis=-1) if channels == 1 else image[..., :3]
