"""Sets in the format of tensorflow-datasets, written by its own writers."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from photographs import compressed, photographs

from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import DataNotFoundError, UsageError
from tfgan_robust.runs.directory import default_run_directory
from tfgan_robust.runs.presets import resolve

IMAGES = 30


def prepare(data_dir, name, images, names, *, version="3.0.1", **changes):
    """Writes a set; returns its labels, by the names of its splits.

    Args:
        data_dir: Where to.
        name: What it is called, with its configuration if it has one.
        images: By split, arrays [height, width, channels].
        names: Of the classes; labels go round them.
        version: Of the set.
        **changes: Features in place of, or beside, image and label; what
            an example of them holds is given by a pair of both.
    """
    shapes = {i.shape for split in images.values() for i in split}
    kinds = {i.dtype for split in images.values() for i in split}
    (kind,) = kinds
    (channels,) = {shape[-1] for shape in shapes}
    shape = shapes.pop() if len(shapes) == 1 else (None, None, channels)
    features = {
        "image": tfds.features.Image(shape=shape, dtype=kind),
        "label": tfds.features.ClassLabel(names=names),
        **{key: feature for key, (feature, _) in changes.items()},
    }
    held = {key: value for key, (_, value) in changes.items()}
    labels = {
        split: [index % len(names) for index in range(len(each))]
        for split, each in images.items()
    }
    name, _, config = name.partition("/")
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=config or None,
        version=version,
        data_dir=str(data_dir),
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            split: [
                (index, {"image": image, "label": labels[split][index]} | held)
                for index, image in enumerate(each)
            ]
            for split, each in images.items()
        },
    )
    return labels


def noise(count, *shape, dtype=np.uint8, seed=0):
    generator = np.random.default_rng([seed, count])
    top = np.iinfo(dtype).max
    return list(generator.integers(top, size=(count, *shape), dtype=dtype))


def halves(*shape, **options):
    """Images of a training and a test split."""
    return {
        "train": noise(IMAGES, *shape, **options),
        "test": noise(IMAGES // 2, *shape, **options),
    }


def by_pixels(split, labels=None):
    images = split if labels is not None else split.images
    labels = split.labels if labels is None else labels
    return {
        np.asarray(image).tobytes(): int(label)
        for image, label in zip(images, labels, strict=True)
    }


@pytest.mark.parametrize(
    ("name", "version", "side", "channels", "mirrored", "eps"),
    [
        ("mnist", "3.0.1", 28, 1, False, 0.3),
        ("fashion_mnist", "3.0.1", 28, 1, True, 0.1),
        ("emnist/letters", "3.1.0", 28, 1, False, 8 / 255),
        ("svhn_cropped", "3.1.0", 32, 3, False, 8 / 255),
        ("cifar10", "3.0.2", 32, 3, True, 8 / 255),
        ("cifar100", "3.0.2", 32, 3, True, 8 / 255),
        ("stl10", "1.0.0", 96, 3, True, 8 / 255),
        ("my_own", "1.2.3", 32, 3, False, 8 / 255),
    ],
)  # fmt: skip
def test_sets_are_loaded_by_their_names(
    tmp_path, name, version, side, channels, mirrored, eps
):
    known = name.partition("/")[0] in tfds.list_builders()
    labelled = tfds.builder(name).info.features["label"] if known else None
    names = tuple(labelled.names) if labelled else ("cat", "dog")
    stored = halves(side, side, channels)
    labels = prepare(tmp_path, name, stored, names, version=version)
    info, test = load_test(f"tfds:{name}", data_dir=tmp_path)
    assert info.class_names == names
    assert info.image_shape == (side, side, 3)
    assert info.source == f"{name}, tensorflow-datasets {version}"
    assert info.notes == ()
    expected = [np.broadcast_to(i, (side, side, 3)) for i in stored["test"]]
    assert by_pixels(test) == by_pixels(expected, labels["test"])
    _, training, held_out = load_training(f"tfds:{name}", data_dir=tmp_path)
    expected = [np.broadcast_to(i, (side, side, 3)) for i in stored["train"]]
    found = by_pixels(training) | by_pixels(held_out)
    assert found == by_pixels(expected, labels["train"])
    assert DATASETS[f"tfds:{name}"].mirrored == mirrored
    config = resolve({"dataset": f"tfds:{name}", "data_dir": str(tmp_path)})
    assert config.eps == config.eval_eps == eps
    folder = f"tfds-{name}-nfgsm-0".replace("/", "-")
    assert default_run_directory(config).name == folder


NAMES = tuple("0123456789")


@pytest.mark.parametrize("image_size", [None, 16])
@pytest.mark.parametrize(
    ("dataset", "called"),
    [("cifar10", "CIFAR-10"), ("tfds:cifar10", "cifar10")],
)
def test_cifar10_that_was_compressed_says_so(
    tmp_path, dataset, called, image_size
):
    raw = photographs(2 * IMAGES)
    for folder, images, done in (
        ("raw", raw, ""),
        ("jpeg", compressed(raw, 75), " after JPEG compression"),
    ):
        stored = {"train": images[::2], "test": images[1::2]}
        prepare(
            tmp_path / folder, "cifar10", stored, NAMES, version="3.0.2",
            id=(tfds.features.Text(), "an image"),
        )  # fmt: skip
        info, test = load_test(
            dataset, data_dir=tmp_path / folder, image_size=image_size
        )
        assert len(test.labels) == IMAGES
        assert info.source == f"{called}{done}, tensorflow-datasets 3.0.2"


def test_a_set_that_may_be_of_jpeg_files_is_not_told_off(tmp_path):
    images = compressed(photographs(), 75)
    prepare(tmp_path, "mine", {"train": images, "test": images}, ["a", "b"])
    info, _ = load_test("tfds:mine", data_dir=tmp_path)
    assert info.source == "mine, tensorflow-datasets 3.0.1"


def test_coarse_labels_beside_the_label_are_left_alone(tmp_path):
    coarse = tfds.features.ClassLabel(names=["animal"])
    labels = prepare(
        tmp_path,
        "two_labels",
        halves(16, 16, 3),
        ["a", "b"],
        coarse=(coarse, 0),
    )
    info, test = load_test("tfds:two_labels", data_dir=tmp_path)
    assert info.class_names == ("a", "b")
    assert sorted(test.labels) == sorted(labels["test"])


@pytest.mark.parametrize(
    ("dtype", "channels"), [(np.uint16, 1), (np.uint16, 3), (np.uint8, 4)]
)
def test_deep_and_transparent_images_become_eight_bits_rgb(
    tmp_path, dtype, channels
):
    stored = halves(16, 16, channels, dtype=dtype)
    labels = prepare(tmp_path, "deep", stored, ["a", "b"])
    _, test = load_test("tfds:deep", data_dir=tmp_path)
    shift = 8 * (np.dtype(dtype).itemsize - 1)
    seen = [
        np.broadcast_to((i >> shift).astype(np.uint8)[..., :3], (16, 16, 3))
        for i in stored["test"]
    ]
    assert by_pixels(test) == by_pixels(seen, labels["test"])


def test_images_of_several_sizes_are_resized_if_told_how(tmp_path):
    flat = [
        np.full((side, 2 * side, 3), 100, np.uint8) for side in range(16, 24)
    ]
    prepare(tmp_path, "sizes", {"train": flat, "test": flat}, ["a", "b"])
    with pytest.raises(UsageError) as error:
        load_test("tfds:sizes", data_dir=tmp_path)
    assert re.fullmatch(
        r"Without `image_size` all images must be squares of one size\. "
        r"Received: tfds:sizes with images of \d\d x \d\d pixels; give "
        "`image_size=32`, for example.",
        str(error.value),
    )
    info, test = load_test("tfds:sizes", data_dir=tmp_path, image_size=32)
    assert info.image_shape == (32, 32, 3)
    assert (test.images == 100).all()


def test_squares_of_several_sizes_are_refused_with_both(tmp_path):
    stored = noise(4, 16, 16, 3) + noise(4, 20, 20, 3)
    prepare(tmp_path, "sizes", {"train": stored, "test": stored}, ["a", "b"])
    with pytest.raises(UsageError, match=r"\b16 x 16\b") as error:
        load_test("tfds:sizes", data_dir=tmp_path)
    assert "20 x 20" in str(error.value)


def test_without_test_images_those_of_validation_stand_for_them(tmp_path):
    stored = {"train": noise(8, 16, 16, 3), "validation": noise(6, 16, 16, 3)}
    labels = prepare(tmp_path, "no_test", stored, ["a", "b"])
    info, test = load_test("tfds:no_test", data_dir=tmp_path)
    assert by_pixels(test) == by_pixels(
        stored["validation"], labels["validation"]
    )
    assert "its validation images stand for them" in info.notes[0]


def test_without_either_a_fifth_of_training_is_kept_for_the_test(tmp_path):
    stored = {"train": noise(50, 16, 16, 3)}
    labels = prepare(tmp_path, "train_only", stored, ["a", "b"])
    info, test = load_test("tfds:train_only", data_dir=tmp_path)
    training_info, *parts = load_training("tfds:train_only", data_dir=tmp_path)
    assert len(test.labels) == 10
    found = by_pixels(test) | by_pixels(parts[0]) | by_pixels(parts[1])
    assert found == by_pixels(stored["train"], labels["train"])
    (note,) = info.notes
    assert "the last 20 % of its images stand for them" in note
    assert training_info.notes == (note,)


def refused(kind, name, data_dir):
    with pytest.raises(kind) as error:
        load_test(name, data_dir=data_dir)
    return str(error.value)


def test_unknown_names_come_with_near_ones(tmp_path):
    message = refused(UsageError, "tfds:cifar1000", tmp_path)
    assert "did you mean cifar100" in message
    assert "Received: dataset=tfds:cifar1000." in message
    message = refused(UsageError, "tfds:NAME", tmp_path)
    assert message.endswith("lists the names. Received: dataset=tfds:NAME.")
    with pytest.raises(UsageError, match="known are cifar10, .*tfds:NAME"):
        load_test("tfds:")


@pytest.mark.parametrize(
    "name", ["tfds:emnist/runes", "tfds:mnist:9.9.9", "tfds:a b", "tfds:/"]
)
def test_names_that_make_no_sense_are_refused_in_a_line(tmp_path, name):
    message = refused(UsageError, name, tmp_path)
    assert name in message
    assert "\n" not in message


def test_a_set_that_is_not_prepared_comes_with_the_command(tmp_path):
    message = refused(DataNotFoundError, "tfds:mnist", tmp_path)
    assert f"is not prepared in {tmp_path}/mnist/" in message
    (code,) = re.findall(r'python -c "(.*?)"; or', message)
    compile(code, "remedy", "exec")
    assert f"builder('mnist', data_dir={str(tmp_path)!r})" in code
    assert list(tmp_path.iterdir()) == []


def test_a_set_without_class_labels_is_refused_with_what_it_has(tmp_path):
    prepare(
        tmp_path,
        "numbers",
        halves(16, 16, 3),
        ["a", "b"],
        label=(tfds.features.Scalar(np.int64), 3),
    )
    message = refused(UsageError, "tfds:numbers", tmp_path)
    assert "no images with a class label each" in message
    assert "Received: image (Image), label (Scalar)." in message


def test_damaged_sets_are_said_to_be(tmp_path):
    prepare(tmp_path, "broken", halves(16, 16, 3), ["a", "b"])
    (records,) = tmp_path.glob("broken/*/*test*")
    records.write_bytes(records.read_bytes()[:-100])
    message = refused(DataNotFoundError, "tfds:broken", tmp_path)
    assert f"{records.parent} is incomplete or damaged; delete" in message


@pytest.mark.slow
def test_the_commands_take_such_a_set(tmp_path):
    prepare(tmp_path / "data", "mnist", halves(28, 28, 1), list("0123456789"))
    run = tmp_path / "run"
    command = [
        sys.executable, "-m", "tfgan_robust.train", "--dataset=tfds:mnist",
        f"--data_dir={tmp_path / 'data'}", f"--run_dir={run}", "--epochs=1",
        "--method=fgsm", "--classifier_width=0.0625", "--batch_size=8",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert " 0.3 " in done.stdout
    assert (run / "results.json").is_file()
    command += ["--dataset=tfds:mnisst", f"--run_dir={tmp_path / 'other'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "did you mean mnist" in line
    assert not (tmp_path / "other").exists()
