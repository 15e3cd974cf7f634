"""Exports the classifier of a run, and checks what was written."""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfgan_robust import files
from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.errors import (
    TfganRobustError,
    UsageError,
    in_one_line,
    shown,
)
from tfgan_robust.lazy import load
from tfgan_robust.reports.reading import parse_evaluation
from tfgan_robust.runs import directory, stored
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.serving.card import model_card
from tfgan_robust.serving.formats import FORMATS

METADATA, CARD = "tfgan_robust.json", "MODEL_CARD.md"
_GROUP = "Export"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What to export and where to.

    Raises:
        UsageError: for a value out of its limits, or one that is missing.
    """

    run_dir: str | None = setting(
        None, "Folder of the training run. Required.", group=_GROUP
    )
    output: str | None = setting(
        None,
        "Folder of the served model; files go into <output>/<version>. "
        "Required.",
        group=_GROUP,
    )
    format: str = setting(
        "savedmodel",
        lambda: (
            "; ".join(f"{n}: {row.help}" for n, row in FORMATS.items()) + "."
        ),
        group=_GROUP,
        choices=FORMATS,
    )
    version: int = setting(
        1,
        "Version number; TensorFlow Serving serves the highest.",
        group=_GROUP,
        minimum=1,
    )
    checkpoint: str = setting(
        "best",
        "Which classifier of the run: best, last, or epoch-N of those kept.",
        group=_GROUP,
    )

    def __post_init__(self) -> None:
        fields.check(self)
        directory.check_checkpoint(self.checkpoint)
        for name in ("run_dir", "output"):
            if not getattr(self, name):
                raise UsageError(
                    f"`{name}` is required. Received: {name}="
                    f"{getattr(self, name)}."
                )


@dataclasses.dataclass(frozen=True)
class Exported:
    """An export that was written and checked.

    Attributes:
        path: Its folder.
        metadata: What lies beside it as JSON.
        largest_difference: Between its logits and those of Keras, on probe
            images in a fresh process.
    """

    path: Path
    metadata: dict[str, Any]
    largest_difference: float


def export(options: ExportSettings) -> Exported:
    """Writes a run's classifier for others to run, and checks it.

    It is written and checked beside its target and moved there at the end,
    so that a server which watches the folder never meets an unfinished
    version.

    Raises:
        UsageError: if there is no such classifier, the version exists
            already, or the folder cannot be written.
        TfganRobustError: if the disk refuses the files, or the export does
            not answer as the classifier does.
    """
    run = RunDirectory(Path(str(options.run_dir)))
    files.check_no_pattern("output", str(options.output))
    metadata = _describe(run, options)
    output = Path(str(options.output))
    target = output / str(options.version)
    _check_is_free(target)
    FORMATS[options.format].load()
    new = [f for f in (output, *output.parents) if not f.exists()]
    try:
        with _staging_folder(output, options.version) as staging:
            # A copy: a run that still trains may replace its classifier.
            original = run.classifier(options.checkpoint)
            copied = Path(staging) / "classifier.keras"
            shutil.copy(original, copied)
            written = Path(staging) / "model"
            written.mkdir()
            lasting = {copied: original, written: target}
            with stored.naming_imports(run.path), _naming(lasting):
                difference = _write_and_check(
                    options.format, copied, written, metadata
                )
            _check_is_free(target)
            os.rename(written, target)
    except OSError as error:
        raise TfganRobustError(
            f"Cannot write to {output}: {error.strerror or error}."
        ) from None
    finally:
        for folder in new:
            # Nothing that people would look for, unless something is in it.
            with contextlib.suppress(OSError):
                folder.rmdir()
    return Exported(target, metadata, difference)


@contextlib.contextmanager
def _naming(lasting: Mapping[Path, Path]) -> Iterator[None]:
    """Names in errors what people know, not what is gone when they read."""
    try:
        yield
    except TfganRobustError as error:
        message = str(error)
        for passing, known in lasting.items():
            message = message.replace(str(passing), str(known))
        error.args = (message,)
        raise


def _describe(run: RunDirectory, options: ExportSettings) -> dict[str, Any]:
    """Returns the metadata that are known before anything is written."""
    training = _training(run)
    run.trained_classifier(options.checkpoint)  # Refuses what is absent.
    return {
        "version": options.version,
        "format": options.format,
        "run": run.path.resolve().name,
        "checkpoint": options.checkpoint,
        "precision": "float32",
        "training": training,
        "export_versions": stored.versions(),
        "robustness": _stored_results(run, options.checkpoint),
    }


def _training(run: RunDirectory) -> dict[str, Any]:
    """Returns config.json, whose settings and data set were checked.

    Raises:
        UsageError: for one that no run wrote.
    """
    stored.load_run_config(run.path)
    dataset = stored.stored_dataset(run.path)
    if not dataset.get("class_names"):
        raise UsageError(
            f"{run.config} does not list the classes of its data set; it is "
            "no file of a training run."
        )
    source = dataset.get("source")
    if source is not None and not isinstance(source, str):
        raise UsageError(
            f"`source` of the data set in {run.config} must be text; restore "
            f"the file. Received: source={shown(source)}."
        )
    described = files.read_json_object(run.config)
    try:
        # JSON reads 1e999 and halves of characters, which nothing can write.
        json.dumps(described, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise UsageError(
            f"{run.config} is not as a run writes it: {error}. Restore the "
            "file."
        ) from None
    return described


def _stored_results(
    run: RunDirectory, checkpoint: str
) -> dict[str, Any] | None:
    """Returns what was measured of this checkpoint, None if nothing was.

    Raises:
        UsageError: for a results.json that no evaluation wrote.
    """
    path = run.path / "results.json"
    if not path.exists():
        return None
    results = files.read_json_object(path)
    # First: what is damaged may say that it is of another checkpoint.
    parse_evaluation(results, str(path))
    same = results.get("checkpoint", checkpoint) == checkpoint
    return results if same else None


def _results_of(
    classifier: Any, results: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Returns results unless they are of another network than this one.

    Figures of another one would be a false promise. Those of earlier versions
    do not say whose they are.

    Args:
        classifier: The very Keras model that is exported: the run's own file
            may be replaced at any time.
        results: As a results.json holds them.
    """
    belongs_to = None if results is None else results.get("identity")
    if belongs_to is None:
        return results
    wrapped = load("tfgan_robust.classifiers.classifier:Classifier")
    identity = wrapped.from_keras(classifier, outputs="logits").identity
    same = all(
        belongs_to.get(f"the classifier's {name}") == identity[name]
        for name in ("structure", "weights")
    )
    return results if same else None


def _write_and_check(
    format: str, classifier_file: Path, path: Path, metadata: dict[str, Any]
) -> float:
    metadata["classifier_sha256"] = files.sha256(classifier_file)
    classifier = load("tfgan_robust.classifiers.loading:load_float32")(
        classifier_file
    )
    metadata["image_shape"] = list(classifier.input_shape[1:])
    names = metadata["training"]["dataset"]["class_names"]
    if len(names) != classifier.output_shape[-1]:
        raise UsageError(
            f"The classifier has {classifier.output_shape[-1]} outputs and "
            f"needs as many class names. Received: {len(names)} names."
        )
    metadata["robustness"] = _results_of(classifier, metadata["robustness"])
    row = FORMATS[format]
    writer = row.load()
    try:
        metadata["signatures"] = writer.write(classifier, names, path)
    except (TfganRobustError, OSError):
        raise
    # What a converter says of a layer that it does not know is anything.
    except Exception as error:
        raise TfganRobustError(
            f"This classifier cannot be written as {format}: "
            f"{in_one_line(error)}."
        ) from None
    beside = path / row.beside
    beside.mkdir(exist_ok=True)
    files.write_json(beside / METADATA, metadata)
    files.write_text(beside / CARD, model_card(metadata))
    check = load("tfgan_robust.serving.checking:check_export")
    difference: float = check(format, path, classifier_file)
    return difference


def _check_is_free(target: Path) -> None:
    if os.path.lexists(target):
        raise UsageError(
            f"{target} exists already and a served version never changes. "
            "Give another `version` or `output`, or remove it first."
        )


def _staging_folder(
    output: Path, version: int
) -> tempfile.TemporaryDirectory[str]:
    # TensorFlow Serving looks only at names that are numbers.
    try:
        output.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(
            prefix=f".exporting-{version}-", dir=output
        )
    except OSError as error:
        raise UsageError(
            f"Cannot write to `output`: {error.strerror}. Received: "
            f"output={output}."
        ) from None
