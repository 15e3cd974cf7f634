"""What a run's config.json says, and whether a folder may take a run."""

import dataclasses

import keras
import pytest

import tfgan_robust
from tfgan_robust import files
from tfgan_robust.errors import UsageError
from tfgan_robust.runs import directory, stored
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path / "runs" / "one")


def store(run, config, **others):
    run.path.mkdir(parents=True)
    content = {"settings": dataclasses.asdict(config), **others}
    files.write_json(run.config, content)


@pytest.mark.parametrize("preset", ["paper", "recommended"])
def test_a_stored_configuration_is_the_one_that_was_stored(run, preset):
    config = resolve({"preset": preset, "eps": "7/255", "data_dir": "d"})
    store(run, config, versions=stored.versions())
    assert stored.load_run_config(run.path) == config
    stored.check_configuration(run, config)


def test_other_settings_are_refused_and_all_listed(run):
    config = resolve()
    store(run, config)
    other = resolve({"seed": 4, "epochs": 7})
    with pytest.raises(UsageError) as error:
        stored.check_configuration(run, other)
    message = str(error.value)
    assert f"epochs: {config.epochs} there, 7 here" in message
    assert "seed: 0 there, 4 here" in message
    assert message.count(" there, ") == 2
    assert str(run.path) in message
    assert "another `run_dir`" in message


def test_the_data_may_have_moved(run):
    store(run, resolve({"data_dir": "/old"}))
    stored.check_configuration(run, resolve({"data_dir": "/new"}))


def test_checking_makes_no_folder(run):
    stored.check_configuration(run, resolve())
    assert not run.path.exists()


def test_an_empty_folder_may_become_a_run(run):
    run.path.mkdir(parents=True)
    stored.check_configuration(run, resolve())


def test_what_a_killed_run_left_does_not_stop_it_from_starting(run):
    """The lock and the twin's folder come before the configuration."""
    with directory.locked(run):
        pass
    store(RunDirectory(run.baseline), resolve({"method": "natural"}))
    stored.check_configuration(run, resolve())


def test_a_folder_of_something_else_is_refused(run):
    run.path.mkdir(parents=True)
    (run.path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="another `run_dir`") as error:
        stored.check_configuration(run, resolve())
    assert str(run.path) in str(error.value)


def test_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="is a file"):
        stored.check_configuration(RunDirectory(file), resolve())


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
        stored.load_run_config(run.path)


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
        stored.stored_dataset(run.path)


def test_a_description_of_the_data_is_read_as_it_is(run):
    described = {
        "class_names": ["cat", "dog"],
        "notes": ["copies"],
        "identity": {"training": {"images": "0123"}},
    }
    store(run, resolve(), dataset=described)
    assert stored.stored_dataset(run.path) == described


def test_a_folder_without_configuration_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="no run directory") as error:
        stored.load_run_config(tmp_path / "absent")
    assert "absent" in str(error.value)


def test_versions_are_those_installed():
    found = stored.versions()
    assert found["keras"] == keras.__version__
    assert found["tfgan_robust"] == tfgan_robust.__version__
    assert {"python", "tensorflow", "numpy"} <= set(found)


def test_a_run_names_each_machine_that_went_on_with_it(run):
    here = stored.versions()
    config = resolve({"eps": "7/255"})
    store(run, config, device="a CPU", versions={**here, "numpy": "1.0"})
    for _ in range(2):
        stored.note_machine(run, "a GPU")
        found = files.read_json_object(run.config)
        assert found["device"] == "a CPU and a GPU"
        assert found["versions"]["numpy"] == f"1.0 and {here['numpy']}"
        assert found["versions"]["keras"] == here["keras"]
        assert stored.load_run_config(run.path) == config
