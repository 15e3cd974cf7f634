"""Labels go by class name, whatever a folder of pictures looks like."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import PIL.Image
import pytest
from cases import slow

from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.session import evaluate
from tfgan_robust.runs.presets import resolve
from tfgan_robust.serving.export import ExportSettings, export

NAMES = ("ant", "bee", "cow", "dog")
SIDE = 16
# What a picture of each class is like; the network is wrong for one in four.
BRIGHTNESS = dict(zip(NAMES, (30, 90, 150, 210), strict=True))


def picture(name, number):
    shown = NAMES[(NAMES.index(name) + (number % 4 == 0)) % 4]
    noise = np.random.default_rng(number).integers(-20, 20, (SIDE, SIDE, 3))
    return (BRIGHTNESS[shown] + noise).astype(np.uint8)


def write(folder, name, numbers):
    for number in numbers:
        path = folder / "test" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(picture(name, number)).save(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was trained on all four classes."""
    folder = tmp_path_factory.mktemp("run")
    means = np.array(list(BRIGHTNESS.values())) / 255
    dense = keras.layers.Dense(4)
    pool = keras.layers.GlobalAveragePooling2D()
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), pool, dense])
    # The nearest mean, as logits.
    kernel = np.repeat(means[None], 3, axis=0)
    dense.set_weights([100 * kernel, -150 * means**2])
    (folder / "best").mkdir()
    model.save(folder / "best" / "classifier.keras")
    settings = resolve({"dataset": "folder", "data_dir": str(folder)})
    config = {
        "settings": dataclasses.asdict(settings),
        "dataset": {"name": "folder", "class_names": NAMES},
    }
    (folder / "config.json").write_text(json.dumps(config))
    export(ExportSettings(run_dir=str(folder), output=str(folder / "served")))
    return folder


def accuracy(run, data, *, exported=False, **given):
    source = {"run_dir": str(run)}
    if exported:
        source = {"model": str(run / "served" / "1"), "dataset": "folder"}
    settings = EvaluateSettings(
        **source, data_dir=str(data), attacks="noise", eps="1", audit=False,
        output=str(data / "out"), **given,
    )  # fmt: skip
    found = evaluate(settings)
    return found.accuracy("clean"), found.notes


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize("case", [0, *slow(*range(1, 5))])
def test_any_part_of_the_classes_in_any_order(run, tmp_path, case, exported):
    generator = np.random.default_rng(case)
    present = generator.permutation(NAMES)[: generator.integers(1, 5)]
    correct, count = 0, 0
    for name in present:
        numbers = generator.permutation(100)[: generator.integers(1, 9)]
        write(tmp_path, name, numbers)
        correct += np.count_nonzero(numbers % 4)
        count += len(numbers)
    found, notes = accuracy(run, tmp_path, exported=exported)
    assert found == correct / count
    absent = [name for name in NAMES if name not in present]
    expected = [f"there are no images of {', '.join(absent)}"] if absent else []
    assert [note for note in notes if "no images" in note] == expected


@pytest.mark.parametrize("exported", [False, True])
def test_unknown_classes_are_refused(run, tmp_path, exported):
    write(tmp_path, "ant", [1, 2])
    write(tmp_path, "bee", [1])
    (tmp_path / "test" / "bee").rename(tmp_path / "test" / "elk")
    with pytest.raises(UsageError, match="ant, bee, cow, dog.*Received: elk"):
        accuracy(run, tmp_path, exported=exported)


@pytest.mark.parametrize("count", [4, 10, 20])
def test_a_subset_stands_for_all_of_a_sorted_folder(run, tmp_path, count):
    for name in NAMES:
        write(tmp_path, name, range(40))
    accuracy(run, tmp_path, num_images=count)
    labels = np.load(tmp_path / "out" / "masks.npz")["labels"]
    counts = np.bincount(labels, minlength=4)
    assert counts.sum() == count and np.ptp(counts) <= 2


@pytest.mark.slow
def test_an_export_carries_the_figures_of_its_own_classifier(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("served"))
    for name in NAMES:
        write(tmp_path, name, range(2))
    evaluate(
        EvaluateSettings(
            run_dir=str(copy), data_dir=str(tmp_path), attacks="noise",
            eps="1", audit=False,
        )
    )  # fmt: skip

    def exported(version):
        settings = ExportSettings(
            run_dir=str(copy), output=str(tmp_path / "s"), version=version
        )
        return export(settings).metadata["robustness"]

    assert exported(1)["num_images"] == 8
    path = copy / "best" / "classifier.keras"
    model = keras.models.load_model(path)
    model.layers[-1].bias.assign_add([0.0, 0.0, 0.0, 1e-3])
    model.save(path)
    assert exported(2) is None


def test_what_training_found_in_its_data_stands_with_the_figures(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("served"))
    config = json.loads((copy / "config.json").read_text())
    config["dataset"]["notes"] = ["3 of 9 test images are among the others"]
    config["dataset"]["source"] = "folder compressed"
    (copy / "config.json").write_text(json.dumps(config))
    for name in NAMES:
        write(tmp_path, name, [1, 2, 3])
    _, notes = accuracy(copy, tmp_path)
    assert notes == [
        "in training, 3 of 9 test images are among the others",
        f"trained on folder compressed, measured on folder {tmp_path.name}",
    ]
