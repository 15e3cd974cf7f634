"""What a training is told of its data, and what it keeps of them."""

import json
import shutil

import numpy as np
import PIL.Image
import pytest

from tfgan_robust.errors import UsageError
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve
from tfgan_robust.runs.stored import stored_precision
from tfgan_robust.training import precision, session
from tfgan_robust.training.loop import Trainer
from tfgan_robust.training.session import train_all

SIDE = 16


def write(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=(SIDE, SIDE, 3))
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run on a folder of pictures, and the folder."""
    folder = tmp_path_factory.mktemp("run on pictures")
    for number in range(24):
        name = ("ant", "bee")[number % 2]
        write(folder / "data" / "train" / name / f"{number}.png", number)
        write(folder / "data" / "test" / name / f"{number}.png", 100 + number)
    assert train(folder) == 0
    return folder


def planned(folder, name="run", **changes):
    settings = {
        "dataset": "folder",
        "data_dir": str(folder / "data"),
        "method": "natural",
        "classifier_width": 1 / 16,
        "batch_size": 8,
        "validation_images": 4,
        "eval_images": 4,
        "epochs": 1,
        **changes,
    }
    return RunDirectory(folder / name), resolve(settings)


def train(folder, **changes):
    return train_all([planned(folder, **changes)])


def test_a_run_that_another_process_began_meanwhile_is_left_alone(
    begun, tmp_path, monkeypatch
):
    folder = tmp_path / "both"
    shutil.copytree(begun / "data", folder / "data")

    def other_begins(*arguments):
        shutil.copytree(begun / "run", folder / "run")
        return Trainer(*arguments)

    monkeypatch.setattr(session, "Trainer", other_begins)
    with pytest.raises(UsageError, match="has begun a run in .* meanwhile"):
        train(folder, seed=1)
    for name in ("config.json", "metrics.csv"):
        kept = (begun / "run" / name).read_bytes()
        assert (folder / "run" / name).read_bytes() == kept


@pytest.mark.slow
@pytest.mark.parametrize(
    ("here", "there", "name", "compute"),
    [
        ("amx_bf16", "", "mixed_bfloat16", "bfloat16"),
        ("", "amx_bf16", "float32", "float32"),
    ],
    ids=["begun with tiles", "begun without"],
)
def test_a_run_keeps_its_precision_and_says_why_on_another_machine(
    begun, tmp_path, monkeypatch, capsys, here, there, name, compute
):
    computing = []

    def stop_at_once(trainer, stop):
        computing.append(trainer.model.classifier.layers[1].compute_dtype)
        return 130 * (trainer._step == 1)

    monkeypatch.setattr(
        precision.tf.config, "list_physical_devices", lambda kind=None: []
    )
    (tmp_path / "data").symlink_to(begun / "data")
    with monkeypatch.context() as first:
        first.setattr(precision, "bfloat16_units", lambda: here)
        first.setattr(Trainer, "_asked_to_stop", stop_at_once)
        assert train(tmp_path) == 130
    config = tmp_path / "run" / "config.json"
    written = config.read_bytes()
    kept = json.loads(written)["precision"]
    assert kept["name"] == name
    assert (here or "no faster in bfloat16") in kept["reason"]
    told = capsys.readouterr().out
    assert f"precision {name}: {kept['reason']}" in told
    monkeypatch.setattr(precision, "bfloat16_units", lambda: there)
    assert precision.choose("auto").name != name
    monkeypatch.setattr(
        Trainer,
        "_asked_to_stop",
        lambda trainer, stop: 0 * stop_at_once(trainer, stop),
    )
    assert train(tmp_path) == 0
    told = capsys.readouterr().out
    assert "resuming at step 1 of 2" in told
    assert f"precision {name}: as the run began, since {kept['reason']}" in told
    assert set(computing) == {compute}
    assert config.read_bytes() == written


@pytest.mark.slow
def test_a_run_computes_as_its_twin_does_that_began_elsewhere(
    begun, tmp_path, monkeypatch
):
    (tmp_path / "data").symlink_to(begun / "data")
    monkeypatch.setattr(precision, "bfloat16_units", lambda: "amx_bf16")
    assert train(tmp_path) == 0
    monkeypatch.setattr(precision, "bfloat16_units", lambda: "")
    plan = [planned(tmp_path), planned(tmp_path, "other", seed=1)]
    assert train_all(plan) == 0
    kept = stored_precision(tmp_path / "other")
    assert kept["name"] == "mixed_bfloat16"


def test_config_holds_what_the_data_were_and_where(begun):
    stored = json.loads((begun / "run" / "config.json").read_text())
    assert stored["dataset"]["class_names"] == ["ant", "bee"]
    identity = stored["dataset"]["identity"]
    assert identity["training"]["number of images"] == 20
    assert identity["validation"]["number of images"] == 4
    assert stored["settings"]["data_dir"] == str(begun / "data")


def test_a_relative_folder_is_stored_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolve({"dataset": "folder", "data_dir": "data"})
    assert config.data_dir == str(tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda data: write(data / "train" / "ant" / "0.png", 999),
            "images of training",
        ),
        (
            lambda data: write(data / "train" / "ant" / "new.png", 999),
            "number of images of training",
        ),
        (
            lambda data: [
                (data / part / "ant").rename(data / part / "ape")
                for part in ("train", "test")
            ],
            "class names",
        ),
    ],
)
def test_a_run_does_not_go_on_with_other_data(begun, tmp_path, change, told):
    shutil.copytree(begun, tmp_path / "copy")
    data = tmp_path / "copy" / "data"
    config = tmp_path / "copy" / "run" / "config.json"
    stored = json.loads(config.read_text())
    stored["settings"]["data_dir"] = str(data)
    config.write_text(json.dumps(stored))
    change(data)
    before = (tmp_path / "copy" / "run" / "metrics.csv").read_bytes()
    with pytest.raises(UsageError, match=f"have changed since.*{told}"):
        train(tmp_path / "copy")
    after = (tmp_path / "copy" / "run" / "metrics.csv").read_bytes()
    assert after == before


def test_the_same_data_go_on_and_older_runs_are_said_to_prove_nothing(
    begun, capsys
):
    assert train(begun) == 0
    assert "not known" not in capsys.readouterr().out
    config = begun / "run" / "config.json"
    text = config.read_text()
    stored = json.loads(text)
    del stored["dataset"]["identity"]
    config.write_text(json.dumps(stored))
    assert train(begun) == 0
    assert "whether these are the same is not known" in capsys.readouterr().out
    config.write_text(text)


def test_what_cannot_be_trained_is_said_before_its_twin_is(tmp_path):
    # Generators halve images twice, the classifier does not.
    settings = {
        "dataset": "digits",
        "image_size": 18,
        "classifier": "resnet18",
        "classifier_width": 1 / 16,
        "epochs": 1,
    }
    plan = [
        (
            RunDirectory(tmp_path / method),
            resolve({**settings, "method": method}),
        )
        for method in ("natural", "gan")
    ]
    with pytest.raises(UsageError, match="multiples of 4"):
        train_all(plan)
    assert list(tmp_path.iterdir()) == []
