"""Exports of a tiny run, the command included, and what is refused."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import slow
from served import NAMES, SHAPE, make_run, random_classifier
from stored import store
from toys import small_vgg

from tfgan_robust import export as export_command
from tfgan_robust import files
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.cli import importing
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.identity import with_digest
from tfgan_robust.networks import pretrained
from tfgan_robust.reports.verdicts import Check
from tfgan_robust.serving import checking, export, saved_model

NO_RUN = {"run_dir": None}


def measured(run: Path, **changes: Any) -> dict[str, Any]:
    """Puts an evaluation of its best classifier into a run's folder."""
    fooled = {("clean", 0.0): {9}, ("fgsm", 8 / 255): {3, 9}}
    checks = [Check("noise", "PASS", {}, "fine")]
    store(
        run, fooled, labels=np.arange(10) % 3, classes=NAMES, audit=checks,
        dataset={"source": "drawn by hand"}, identity={},
    )  # fmt: skip
    path = run / "results.json"
    results = {**files.read_json_object(path), "checkpoint": "best", **changes}
    files.write_json(path, results)
    return results


def identity_of(run: Path) -> dict[str, Any]:
    """What an evaluation of its best classifier belongs to."""
    found = load_classifier(run_dir=run).identity
    return {
        "images": "0123",
        **{f"the classifier's {name}": part for name, part in found.items()},
    }


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
    monkeypatch.setattr(checking, "check_export", lambda *_: 0.0)


def exported_metadata(path: Path) -> dict[str, Any]:
    return json.loads(
        (path / "assets.extra" / export.METADATA).read_text(encoding="utf-8")
    )


@pytest.mark.slow
def test_the_command_exports_a_mixed_precision_run(command, tmp_path):
    run = make_run(tmp_path / "run", precision="mixed_bfloat16")
    results = measured(run)
    output = tmp_path / "served" / "robust"
    code, out, err = command(
        f"--run_dir={run}", f"--output={output}", "--version=3"
    )
    assert code == 0, err
    assert f"Exported to {output / '3'}" in out
    assert "Note" not in out
    assert out.splitlines()[-1] == (
        "next: tensorflow_model_server --rest_api_port=8501 "
        f"--model_name=robust --model_base_path={output}"
    )
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
    assert metadata["robustness"] == results
    assert metadata["training"]["settings"]["precision"] == "mixed_bfloat16"
    assert metadata["training"]["dataset"]["class_names"] == NAMES
    assert metadata["precision"] == "float32"
    assert (metadata["name"], metadata["version"]) == ("run", 3)
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


@pytest.mark.slow
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
    measured(run)
    exported = export.export(
        export.ExportSettings(
            run_dir=str(run), output=str(tmp_path / "D"), checkpoint="last"
        )
    )
    assert exported.metadata["robustness"] is None


def test_a_failed_check_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def fail(*_):
        raise TfganRobustError("differs")

    monkeypatch.setattr(checking, "check_export", fail)
    options = export.ExportSettings(run_dir=str(run), output=str(tmp_path))
    with pytest.raises(TfganRobustError, match="differs"):
        export.export(options)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def package(tmp_path, monkeypatch, run):
    """Installs the run's classifier as `tiny`, whose card says this, too."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "package")
    file = run / "best" / "classifier.keras"
    settings = files.read_json_object(run / "config.json")["settings"]
    pretrained.FOLDER.mkdir()
    shutil.copy(file, pretrained.FOLDER / "tiny.keras")

    def package(**more):
        card = {
            "sha256": files.sha256(file),
            "dataset": "digits",
            "class_names": NAMES,
            "settings": {**settings, "classifier": "classifier.keras"},
            "begun with": [{"epochs": 17, "classifier": "vgg"}, {"epochs": 16}],
            **more,
        }
        files.write_json(pretrained.FOLDER / "tiny.json", card)

    return package


@pytest.mark.usefixtures("unchecked")
def test_what_comes_with_the_package_is_exported(tmp_path, run, package):
    results = {**measured(run), "identity": identity_of(run)}
    package(images="drawn by hand", measured=results, **{"bits of weights": 8})
    done = export.export(
        export.ExportSettings(
            model="pretrained:tiny", output=str(tmp_path / "served")
        )
    )
    metadata = exported_metadata(done.path)
    assert (metadata["name"], metadata["checkpoint"]) == ("tiny", None)
    assert metadata["robustness"] == results
    page = (done.path / "assets.extra" / export.CARD).read_text("utf-8")
    for told in ("# tiny", "drawn by hand", "fgsm", "of 17, 16 epochs", *NAMES):
        assert told in page
    assert "vgg" in page and "classifier.keras" not in page
    assert "rounded to 8 bits" in page


@pytest.mark.usefixtures("unchecked")
def test_figures_of_another_network_do_not_go_with_the_package(
    tmp_path, run, command, package
):
    identity = identity_of(run) | {"the classifier's weights": "0123"}
    package(measured={**measured(run), "identity": identity})
    flags = "--model=pretrained:tiny", f"--output={tmp_path / 'served'}"
    code, out, _ = command(*flags)
    assert code == 0
    assert "nothing that was measured of pretrained:tiny belongs" in out
    # What no evaluation wrote is refused.
    package(measured={"schema_version": 3})
    code, _, err = command(*flags, "--version=2")
    assert code and "what was measured of pretrained:tiny" in err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"run_dir": "absent"}, "absent is no run directory"),
        ({"run_dir": None}, "Either `run_dir` or `model` is required"),
        ({"model": "pretrained:x"}, "Either `run_dir` or `model` is required"),
        ({**NO_RUN, "model": "a.keras"}, "must be pretrained:NAME"),
        ({**NO_RUN, "model": "pretrained:x"}, "no pretrained .* name"),
        (
            {**NO_RUN, "model": "pretrained:x", "checkpoint": "last"},
            "`checkpoint` goes with `run_dir`",
        ),
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
    with pytest.raises(UsageError, match="does not list the classes"):
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
    assert ("parts of mine; import that first" in str(error.value)) is told


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("class_names", None, "does not list the classes"),
        ("class_names", "cat", "`class_names` .* is not as a run writes it"),
        ("class_names", 3, "`class_names` .* is not as a run writes it"),
        ("class_names", ["a", 2], "`class_names` .* is not as a run"),
        ("class_names", {"a": 1}, "`class_names` .* is not as a run"),
        ("notes", 5, "`notes` .* is not as a run writes it"),
        ("notes", [None], "`notes` .* is not as a run writes it"),
        ("source", 5, "`source` .* must be text.*Received: source=5"),
        ("source", [], r"`source` .* must be text.*Received: source=\[\]"),
        ("source", "\ud800", "is not as a run writes it: .*surrogates"),
    ],
)
def test_what_a_run_says_of_its_data_is_checked(
    run, tmp_path, part, value, message
):
    described = json.loads((run / "config.json").read_text())
    described["dataset"][part] = value
    files.write_json(tmp_path / "config.json", described)
    shutil.copytree(run / "best", tmp_path / "best")
    options = export.ExportSettings(
        run_dir=str(tmp_path), output=str(tmp_path / "D")
    )
    with pytest.raises(UsageError, match=message) as error:
        export.export(options)
    assert str(tmp_path / "config.json") in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "D").exists()


def test_numbers_that_no_json_can_hold_are_refused(run, tmp_path):
    text = (run / "config.json").read_text()
    assert '"seed": 0,\n  "device"' in text
    shutil.copytree(run / "best", tmp_path / "best")
    (tmp_path / "config.json").write_text(
        text.replace('"seed": 0,\n  "device"', '"seed": 1e999,\n  "device"')
    )
    options = export.ExportSettings(
        run_dir=str(tmp_path), output=str(tmp_path / "D")
    )
    with pytest.raises(UsageError, match="config.json is not as a run writes"):
        export.export(options)
    assert not (tmp_path / "D").exists()


@pytest.mark.usefixtures("unchecked")
def test_what_json_writes_otherwise_is_exported(tmp_path):
    run = make_run(tmp_path / "run")
    described = json.loads((run / "config.json").read_text())
    described["settings"]["eps"] = "8/255"
    described["dataset"] |= {"notes": None, "source": None}
    files.write_json(run / "config.json", described)
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "D")
    )
    path = export.export(options).path / "assets.extra" / export.CARD
    text = path.read_text(encoding="utf-8")
    assert "8/255" in text and "Not stated." in text


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("part", [None, "structure", "weights"])
def test_figures_go_with_the_network_that_they_are_of(tmp_path, part):
    own = make_run(tmp_path / "run")
    identity = identity_of(own)
    if part is not None:
        identity[f"the classifier's {part}"] = "of another"
    results = measured(own, identity=identity)
    options = export.ExportSettings(
        run_dir=str(own), output=str(tmp_path / "D")
    )
    found = export.export(options).metadata["robustness"]
    assert found == (results if part is None else None)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("when", ["after", *slow("before")])
def test_figures_go_with_the_copy_that_is_exported(tmp_path, monkeypatch, when):
    run = make_run(tmp_path / "run")
    results = measured(run, identity=identity_of(run))
    copied = shutil.copy

    def train_on():
        """Does what a better epoch does to the networks of a run."""
        file = run / "best" / "classifier.keras"
        random_classifier(NAMES, seed=1).save(file)

    def copy(*arguments):
        if when == "before":
            train_on()
        copied(*arguments)
        if when == "after":
            train_on()

    monkeypatch.setattr(shutil, "copy", copy)
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "D")
    )
    exported = export.export(options)
    expected = results if when == "after" else None
    assert exported.metadata["robustness"] == expected
    card = exported.path / "assets.extra" / export.CARD
    unmeasured = "**Not measured.**" in card.read_text(encoding="utf-8")
    assert unmeasured is (when == "before")


@pytest.mark.usefixtures("unchecked")
def test_each_logit_needs_a_name(tmp_path):
    run = make_run(tmp_path / "run")
    described = json.loads((run / "config.json").read_text())
    described["dataset"]["class_names"] = ["a", "b"]
    files.write_json(run / "config.json", described)
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "D")
    )
    with pytest.raises(UsageError, match="3 outputs.*Received: 2 names"):
        export.export(options)
    assert not (tmp_path / "D").exists()


@pytest.mark.parametrize("damage", ["NaN", "0.5"])
def test_figures_that_no_evaluation_gives_are_refused(tmp_path, damage):
    run = make_run(tmp_path / "run")
    text = json.dumps(measured(run)).replace(
        '"accuracy": 0.8', f'"accuracy": {damage}'
    )
    (run / "results.json").write_text(text)
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "D")
    )
    with pytest.raises(UsageError, match="results.json"):
        export.export(options)
    assert not (tmp_path / "D").exists()


@pytest.mark.parametrize("identity", [7, [], "0123", {"images": 7}])
def test_an_identity_that_is_none_is_refused(tmp_path, identity):
    run = make_run(tmp_path / "run")
    measured(run, identity=identity)
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "D")
    )
    with pytest.raises(UsageError, match="results.json is not as"):
        export.export(options)
    assert not (tmp_path / "D").exists()


@pytest.mark.parametrize("change", [{"checkpoint": None}, {"audit": None}])
def test_figures_are_not_left_out_unsaid(tmp_path, change):
    run = make_run(tmp_path / "run")
    written = with_digest(measured(run))
    files.write_json(run / "results.json", {**written, **change})
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "D")
    )
    with pytest.raises(UsageError, match="results.json is not as it was wri"):
        export.export(options)
    assert not (tmp_path / "D").exists()


def test_errors_name_what_lasts(tmp_path):
    run = make_run(tmp_path / "run")
    classifier = run / "best" / "classifier.keras"
    classifier.write_bytes(classifier.read_bytes()[:2000])
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "new" / "D")
    )
    with pytest.raises(UsageError) as error:
        export.export(options)
    assert str(classifier) in str(error.value)
    assert ".exporting" not in str(error.value)
    assert not (tmp_path / "new").exists()


def test_what_a_converter_cannot_do_is_told_in_a_line(
    run, tmp_path, monkeypatch
):
    def refuse(*_):
        raise ValueError("no such operation: Mine\n  in a graph")

    monkeypatch.setattr(saved_model, "write", refuse)
    options = export.ExportSettings(
        run_dir=str(run), output=str(tmp_path / "D")
    )
    with pytest.raises(
        TfganRobustError,
        match="cannot be written as savedmodel: ValueError: no such",
    ):
        export.export(options)
    assert not (tmp_path / "D").exists()


@pytest.mark.usefixtures("unchecked")
def test_the_card_tells_a_person_what_they_serve(tmp_path):
    run = make_run(tmp_path / "run")

    def card(version):
        options = export.ExportSettings(
            run_dir=str(run), output=str(tmp_path / "D"), version=version
        )
        written = export.export(options).path / "assets.extra" / export.CARD
        return written.read_text(encoding="utf-8")

    assert "**Not measured.**" in card(1)
    measured(run)
    text = card(2)
    for told in (
        "# run", "16 x 16 pixels and 3 channels", "| 1      | one",
        "made for a test", "audit: PASS (1 PASS)", "| clean", "| fgsm",
        "80.0 (49.0-94.3)", "8/255", "drawn by hand", "upper bounds",
        "serve_image", "float32 [batch, height, width, channels] in [0, 1]",
        "**NOTE**: 2 training images have copies among them.",
    ):  # fmt: skip
        assert told in text, told
    (_, training) = text.split("## Training\n\n")
    rows = training.split("\n\n")[0].splitlines()
    cells = [tuple(each.strip() for each in row.split("|")) for row in rows]
    expected = {"method": "nfgsm", "eps": "0.2", "epochs": "30", "seed": "0"}
    for name, value in expected.items():
        assert ("", name, value, "") in cells, name
