"""Exports of a tiny run, the command included, and what is refused."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import small_vgg

from tfgan_robust import export as export_command
from tfgan_robust import files
from tfgan_robust.cli import importing
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.runs import directory, presets
from tfgan_robust.serving import export, saved_model

SHAPE = (16, 16, 3)
NAMES = ["nought", "one", "two"]
RESULTS = {"checkpoint": "best", "accuracy": {"clean": 0.9, "pgd-100": 0.5}}


def make_run(path: Path, *, precision: str = "float32") -> Path:
    """Writes the run directory of a classifier that was hardly trained."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = small_vgg(SHAPE, len(NAMES), classifier_width=0.05)
    finally:
        keras.config.set_dtype_policy(previous)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if "moving" in weight.path:
            weight.assign(generator.uniform(0.5, 1.5, weight.shape))
    (path / "best").mkdir(parents=True)
    model.save(path / "best" / "classifier.keras")
    settings = presets.resolve({"dataset": "digits", "precision": precision})
    files.write_json(
        path / "config.json",
        {
            "settings": dataclasses.asdict(settings),
            "versions": directory.versions(),
            "seed": 0,
            "device": "CPU",
            "dataset": {
                "name": "digits",
                "source": "made for a test",
                "class_names": NAMES,
                "image_shape": list(SHAPE),
                "num_classes": len(NAMES),
            },
        },
    )
    return path


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; returns its exit code and what it printed."""

    def command(*flags: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["export", *flags])
        # Which the command changes.
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        with pytest.raises(SystemExit) as end:
            export_command.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the fresh process, which other tests start."""
    monkeypatch.setattr(saved_model, "check_saved_model", lambda *_: 0.0)


def exported_metadata(path: Path) -> dict[str, Any]:
    return json.loads((path / export.METADATA).read_text(encoding="utf-8"))


def test_the_command_exports_a_mixed_precision_run(command, tmp_path):
    run = make_run(tmp_path / "run", precision="mixed_bfloat16")
    files.write_json(run / "results.json", RESULTS)
    output = tmp_path / "served" / "robust"
    code, out, err = command(
        f"--run_dir={run}", f"--output={output}", "--version=3"
    )
    assert code == 0, err
    assert f"Exported to {output / '3'}" in out
    assert "Note" not in out
    assert [entry.name for entry in output.iterdir()] == ["3"]

    loaded = tf.saved_model.load(str(output / "3"))
    images = np.random.default_rng(1).random((5, *SHAPE), dtype=np.float32)
    answer = loaded.signatures["serving_default"](images=images)
    reference = small_vgg(SHAPE, len(NAMES), classifier_width=0.05)
    trained = keras.models.load_model(run / "best" / "classifier.keras")
    reference.set_weights(trained.get_weights())
    np.testing.assert_allclose(
        answer["logits"], reference(images, training=False), atol=1e-5
    )
    assert all(v.dtype == tf.float32 for v in loaded._weights)

    metadata = exported_metadata(output / "3")
    assert metadata["robustness"] == RESULTS
    assert metadata["training"]["settings"]["precision"] == "mixed_bfloat16"
    assert metadata["training"]["dataset"]["class_names"] == NAMES
    assert metadata["precision"] == "float32"
    assert (metadata["run"], metadata["version"]) == ("run", 3)
    assert metadata["signatures"] == list(loaded.signatures)
    assert metadata["export_versions"]["keras"] == keras.__version__


def test_an_existing_version_is_refused_and_kept(command, run, tmp_path):
    kept = tmp_path / "1" / "saved_model.pb"
    kept.parent.mkdir()
    kept.write_bytes(b"kept")
    code, _, err = command(f"--run_dir={run}", f"--output={tmp_path}")
    assert code == 2
    assert err.startswith("error: ") and "another --version or --output" in err
    assert len(err.splitlines()) == 1
    assert kept.read_bytes() == b"kept"


@pytest.mark.usefixtures("unchecked")
def test_versions_lie_side_by_side(run, tmp_path):
    for version in (1, 2):
        exported = export.export(
            export.ExportSettings(
                run_dir=str(run), output=str(tmp_path), version=version
            )
        )
        assert exported.path == tmp_path / str(version)
        assert exported.metadata == exported_metadata(exported.path)
        assert exported.metadata["robustness"] is None
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2"]


@pytest.mark.usefixtures("unchecked")
def test_results_of_the_other_checkpoint_are_left_out(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "best").rename(run / "last")
    files.write_json(run / "results.json", RESULTS)
    exported = export.export(
        export.ExportSettings(
            run_dir=str(run), output=str(tmp_path / "D"), checkpoint="last"
        )
    )
    assert exported.metadata["robustness"] is None


def test_a_failed_check_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def fail(*_):
        raise TfganRobustError("differs")

    monkeypatch.setattr(saved_model, "check_saved_model", fail)
    options = export.ExportSettings(run_dir=str(run), output=str(tmp_path))
    with pytest.raises(TfganRobustError, match="differs"):
        export.export(options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"run_dir": "absent"}, "absent is no run directory"),
        ({"run_dir": None}, "`run_dir` is required"),
        ({"output": None}, "`output` is required"),
        ({"version": 0}, "at least 1. Received: version=0"),
        ({"checkpoint": "newest"}, "best, last, or epoch-N"),
        ({"checkpoint": "last"}, "has no last classifier yet"),
    ],
)
def test_bad_settings_are_refused(run, tmp_path, given, message):
    settings = {"run_dir": str(run), "output": str(tmp_path / "D"), **given}
    with pytest.raises(UsageError, match=message):
        export.export(export.ExportSettings(**settings))
    assert not (tmp_path / "D").exists()


def test_an_output_below_a_file_is_refused(run, tmp_path):
    (tmp_path / "file").touch()
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "file" / "D")
    )
    with pytest.raises(UsageError, match="Cannot write to `output`"):
        export.export(options)


def test_a_folder_without_class_names_is_refused(run, tmp_path):
    described = json.loads((run / "config.json").read_text())
    del described["dataset"]
    files.write_json(tmp_path / "config.json", described)
    options = export.ExportSettings(
        run_dir=str(tmp_path), output=str(tmp_path / "D")
    )
    with pytest.raises(UsageError, match="does not name the classes"):
        export.export(options)


@pytest.mark.parametrize(
    ("imports", "told"), [(["mine"], True), ([], False), (["json"], False)]
)
def test_modules_that_a_run_was_trained_with_are_named(
    run, tmp_path, monkeypatch, imports, told
):
    monkeypatch.setattr(importing, "IMPORTED", ["json"])
    described = json.loads((run / "config.json").read_text())
    described["settings"]["method"] = "of my module"
    described["imports"] = imports
    files.write_json(tmp_path / "config.json", described)
    options = export.ExportSettings(
        run_dir=str(tmp_path), output=str(tmp_path / "D")
    )
    with pytest.raises(UsageError) as error:
        export.export(options)
    assert ("trained with --import=mine; give it" in str(error.value)) is told
