"""A run's folder: whose it is, who may write to it, what lies in it."""

import json
from pathlib import Path

import pytest
from holding import holding

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
