"""A run's folder: whose it is, who may write to it, what lies in it."""

import dataclasses
import json
from pathlib import Path

import keras
import pytest
from holding import holding

import tfgan_robust
from tfgan_robust import files
from tfgan_robust.errors import UsageError
from tfgan_robust.runs import directory
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve

HOLD_LOCK = """
import sys
from pathlib import Path
from tfgan_robust.runs import directory

run = directory.RunDirectory(Path(sys.argv[1]))
with directory.locked(run):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path / "runs" / "one")


def store(run, config, **others):
    run.path.mkdir(parents=True)
    stored = {"settings": dataclasses.asdict(config), **others}
    files.write_json(run.config, stored)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "runs/cifar10-nfgsm-0"),
        ({"formulation": "grad_x"}, "runs/cifar10-grad_x-0"),
        ({"formulation": "xz", "seed": 3}, "runs/cifar10-start-xz-3"),
        ({"dataset": "digits", "method": "pgd"}, "runs/digits-pgd-0"),
    ],
)
def test_folders_are_called_after_the_run(given, expected):
    path = directory.default_run_directory(resolve(given))
    assert path == Path(expected)


@pytest.mark.parametrize("preset", ["paper", "recommended"])
def test_a_stored_configuration_is_the_one_that_was_stored(run, preset):
    config = resolve({"preset": preset, "eps": "7/255", "data_dir": "d"})
    store(run, config, versions=directory.versions())
    assert directory.load_run_config(run.path) == config
    directory.check_configuration(run, config)


def test_other_settings_are_refused_and_all_listed(run):
    config = resolve()
    store(run, config)
    other = resolve({"seed": 4, "epochs": 7})
    with pytest.raises(UsageError) as error:
        directory.check_configuration(run, other)
    message = str(error.value)
    assert f"epochs: {config.epochs} there, 7 here" in message
    assert "seed: 0 there, 4 here" in message
    assert message.count(" there, ") == 2
    assert str(run.path) in message
    assert "another `run_dir`" in message


def test_the_data_may_have_moved(run):
    store(run, resolve({"data_dir": "/old"}))
    directory.check_configuration(run, resolve({"data_dir": "/new"}))


def test_checking_makes_no_folder(run):
    directory.check_configuration(run, resolve())
    assert not run.path.exists()


def test_an_empty_folder_may_become_a_run(run):
    run.path.mkdir(parents=True)
    directory.check_configuration(run, resolve())


def test_what_a_killed_run_left_does_not_stop_it_from_starting(run):
    """The lock and the twin's folder come before the configuration."""
    with directory.locked(run):
        pass
    store(RunDirectory(run.baseline), resolve({"method": "natural"}))
    directory.check_configuration(run, resolve())


def test_a_folder_of_something_else_is_refused(run):
    run.path.mkdir(parents=True)
    (run.path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="another `run_dir`") as error:
        directory.check_configuration(run, resolve())
    assert str(run.path) in str(error.value)


def test_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="is a file"):
        directory.check_configuration(RunDirectory(file), resolve())


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("{", "not valid JSON"),
        ("[]", "must hold a JSON object"),
        ('{"model": "bert"}', "no run's file"),
        ('{"settings": [1]}', "no run's file"),
        ('{"settings": {"epsilon": 1}}', "Unknown setting: epsilon"),
        ('{"settings": {"eps": 3}}', "Received: eps=3.0"),
    ],
)
def test_a_damaged_configuration_is_refused(run, content, wanted):
    run.path.mkdir(parents=True)
    run.config.write_text(content)
    with pytest.raises(UsageError, match=wanted):
        directory.load_run_config(run.path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("class_names", "cat"),
        ("class_names", 3),
        ("class_names", []),
        ("class_names", ["cat", "cat"]),
        ("class_names", ["cat", 1]),
        ("notes", 7),
        ("notes", "a text"),
        ("identity", "0123"),
        ("identity", {"training": 1}),
    ],
)
def test_a_damaged_description_of_the_data_is_refused(run, name, value):
    store(run, resolve(), dataset={name: value})
    with pytest.raises(UsageError, match=f"`{name}` of the data set in"):
        directory.stored_dataset(run.path)


def test_a_description_of_the_data_is_read_as_it_is(run):
    described = {
        "class_names": ["cat", "dog"],
        "notes": ["copies"],
        "identity": {"training": {"images": "0123"}},
    }
    store(run, resolve(), dataset=described)
    assert directory.stored_dataset(run.path) == described


def test_a_folder_without_configuration_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="no run directory") as error:
        directory.load_run_config(tmp_path / "absent")
    assert "absent" in str(error.value)


def test_only_one_process_trains_in_a_folder(run):
    with holding(HOLD_LOCK, run.path):
        with (
            pytest.raises(UsageError, match="Another process") as error,
            directory.locked(run),
        ):
            pytest.fail("two processes hold the lock")
        assert str(run.path) in str(error.value)
    # The lock dies with its holder, however that ends.
    with directory.locked(run):
        pass


def test_json_is_written_whole(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    files.write_json(path, {"epoch": 1})
    assert json.loads(path.read_text()) == {"epoch": 1}

    def fill_disk(self, text, **_):
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_disk)
    with pytest.raises(OSError, match="No space"):
        files.write_json(path, {"epoch": 2, "more": list(range(9))})
    assert json.loads(path.read_text()) == {"epoch": 1}
    monkeypatch.undo()
    files.write_json(path, [3])
    assert json.loads(path.read_text()) == [3]
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_every_file_lies_within_the_run(run):
    files = [
        run.config,
        run.metrics,
        run.logs,
        run.checkpoints,
        run.alarms,
        run.baseline,
        run.networks("best"),
        run.classifier("last"),
    ]
    assert len(set(files)) == len(files)
    assert all(file.is_relative_to(run.path) for file in files)
    assert run.classifier("best").parent == run.networks("best")


def test_kept_networks_are_found_in_order(run):
    for name in ("epoch-10", "epoch-9", "last", "best", "epoch-x", "logs"):
        run.networks(name).mkdir(parents=True)
        run.classifier(name).touch()
    run.networks("epoch-11").mkdir()  # without a classifier
    assert run.kept() == ["best", "last", "epoch-9", "epoch-10"]
    assert run.trained_classifier("epoch-9") == run.classifier("epoch-9")
    with pytest.raises(
        UsageError, match="it has best, last, epoch-9, epoch-10"
    ):
        run.trained_classifier("epoch-11")


def test_versions_are_those_installed():
    found = directory.versions()
    assert found["keras"] == keras.__version__
    assert found["tfgan_robust"] == tfgan_robust.__version__
    assert {"python", "tensorflow", "numpy"} <= set(found)
