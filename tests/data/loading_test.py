"""Data sets by name, and those of users."""

import dataclasses
import importlib
import sys

import numpy as np
import pytest

import tfgan_robust as tr
from tfgan_robust.data import digits
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.data.registry import DATASETS, Dataset
from tfgan_robust.data.splits import DatasetInfo, Split, representative_order
from tfgan_robust.errors import UsageError

SIDE = 20
INFO = DatasetInfo(("a", "b", "c"), (SIDE, SIDE, 3), "made up")
MINE = Split(
    np.arange(6 * SIDE * SIDE * 3).reshape(6, SIDE, SIDE, 3).astype(np.uint8),
    np.array([0, 1, 2, 0, 1, 2]),
)


def use(monkeypatch, loaded):
    """Adds the data set "mine"; returns what its loader is asked for."""
    asked = []

    def load(*arguments):
        asked.append(arguments)
        return loaded

    rows = {name: row for name, row in DATASETS.items() if name != "mine"}
    monkeypatch.setattr(DATASETS, "_rows", rows)
    DATASETS.add("mine", Dataset(load=load, help="mine"))
    return asked


@pytest.mark.parametrize("load", [load_training, load_test])
def test_unknown_names_are_refused_with_the_known_ones(load):
    known = "cifar10, digits, folder, tfds:NAME. Received: mnist"
    with pytest.raises(UsageError, match=known):
        load("mnist")


def test_only_what_is_the_same_in_a_mirror_is_mirrored():
    mirrored = [name for name, row in DATASETS.items() if row.mirrored]
    assert mirrored == ["cifar10"]


@pytest.mark.parametrize("eps", [(), (0,), (0.1, 8)])
def test_radii_of_reports_are_those_of_pixels_from_0_to_1(eps):
    with pytest.raises(UsageError, match=r"`eps` .*\(0, 1\]. Received: \("):
        Dataset(load="nowhere", help="", eps=eps)


@pytest.fixture
def without(monkeypatch):
    """Imports a module of the room anew, where packages are missing."""

    def imported(module: str, *missing: str):
        for package in missing:
            monkeypatch.setitem(sys.modules, package, None)
        return importlib.import_module(f"tfgan_robust.data.{module}")

    load_test("digits")  # So that every module is put back at the end.
    monkeypatch.setattr(tr, "data", tr.data)
    for name in list(sys.modules):
        if name.startswith("tfgan_robust.data"):
            monkeypatch.delitem(sys.modules, name)
    return imported


def test_names_are_known_before_tensorflow_is_loaded(without):
    table = without("registry", "numpy", "tensorflow").DATASETS
    assert list(table) == ["cifar10", "digits", "folder", "tfds:NAME"]


def test_only_cifar10_needs_tensorflow_datasets(without):
    loading = without("loading", "tensorflow_datasets")
    loading.load_test("digits")
    with pytest.raises(UsageError, match="needs `data_dir=D`"):
        loading.load_test("folder")
    with pytest.raises(ModuleNotFoundError, match="tensorflow_datasets"):
        loading.load_test("cifar10")


def test_a_users_data_set_is_loaded_by_its_name(monkeypatch):
    asked = use(monkeypatch, (INFO, MINE))
    info, test = tr.load_test("mine", data_dir="there", image_size=SIDE)
    assert info == INFO
    order = representative_order(MINE.labels)
    np.testing.assert_array_equal(test.images, MINE.images[order])
    _, training, validation = tr.load_training("mine", validation_images=2)
    assert (len(training.labels), len(validation.labels)) == (4, 2)
    assert asked == [
        ("there", SIDE, "test"),
        (None, None, "train"),
        (None, None, "test"),
    ]


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (None, "a DatasetInfo and a Split. Received: NoneType."),
        (MINE, "a DatasetInfo and a Split. Received: Split."),
        ((INFO, tuple(MINE)), "a DatasetInfo and a Split. Received: tuple."),
        (
            (dataclasses.replace(INFO, image_shape=(SIDE, SIDE, 1)), MINE),
            "the shape (20, 20, 3). Received: image_shape=(20, 20, 1).",
        ),
        (
            (INFO, Split(MINE.images / 255, MINE.labels)),
            "uint8 [n, 20, 20, 3]. Received: float64 [6, 20, 20, 3].",
        ),
        (
            (INFO, Split(MINE.images[:, 1:], MINE.labels)),
            "uint8 [n, 20, 20, 3]. Received: uint8 [6, 19, 20, 3].",
        ),
        (
            (INFO, Split(MINE.images[:0], MINE.labels[:0])),
            "uint8 [n, 20, 20, 3]. Received: uint8 [0, 20, 20, 3].",
        ),
        (
            (INFO, Split(list(MINE.images), MINE.labels)),  # type: ignore[arg-type]
            "uint8 [n, 20, 20, 3]. Received: list.",
        ),
        (
            (INFO, Split(MINE.images, MINE.labels.astype(np.float32))),
            "int64 [6], one for each image. Received: float32 [6].",
        ),
        (
            (INFO, Split(MINE.images, np.eye(3, dtype=int)[MINE.labels])),
            "int64 [6], one for each image. Received: int64 [6, 3].",
        ),
        (
            (INFO, Split(MINE.images, MINE.labels[:5])),
            "int64 [6], one for each image. Received: int64 [5].",
        ),
        (
            (INFO, Split(MINE.images, MINE.labels + 1)),
            "from 0 to 2, as it names 3 classes. Received: 1 to 3.",
        ),
        (
            (INFO, Split(MINE.images, MINE.labels - 1)),
            "from 0 to 2, as it names 3 classes. Received: -1 to 1.",
        ),
    ],
)
def test_what_a_users_loader_returns_is_checked(monkeypatch, loaded, message):
    use(monkeypatch, loaded)
    with pytest.raises(UsageError) as error:
        load_test("mine")
    assert str(error.value).startswith("`load` of the data set mine must ")
    assert str(error.value).endswith(message)


def test_copies_are_noted(monkeypatch):
    use(monkeypatch, (INFO, MINE))
    info, *_ = load_training("mine")
    assert info.notes == (
        "6 of 6 test images are among the training images too, so that "
        "accuracies on them are too high",
    )
    twice = Split(*(np.repeat(part, 2, axis=0) for part in MINE))
    use(monkeypatch, (INFO, twice))
    info, *_ = load_training("mine", validation_images=2)
    assert info.notes[0] == (
        "12 of 12 training images have copies among them, which stay on one "
        "side of the validation split"
    )


@pytest.mark.parametrize("name", ["cifar10", "digits"])
def test_the_first_test_images_of_these_are_what_everybody_measures(name):
    assert DATASETS[name].mixed


def test_the_order_of_the_digits_is_their_own():
    _, raw = digits.load(None, None, "test")
    _, test = load_test("digits")
    np.testing.assert_array_equal(test.images, raw.images)


def test_a_size_that_was_asked_for_must_be_given(monkeypatch):
    use(monkeypatch, (INFO, MINE))
    with pytest.raises(UsageError, match=r"shape \(16, 16, 3\). Received"):
        load_training("mine", image_size=16)
