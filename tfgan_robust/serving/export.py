"""Exports a classifier, and checks what was written."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfgan_robust import files
from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.errors import TfganRobustError, UsageError, in_one_line
from tfgan_robust.lazy import load
from tfgan_robust.networks import pretrained
from tfgan_robust.runs import directory, stored
from tfgan_robust.serving.card import model_card
from tfgan_robust.serving.formats import FORMATS
from tfgan_robust.serving.subject import Subject, of_pretrained, of_run

METADATA, CARD = "tfgan_robust.json", "MODEL_CARD.md"
_GROUP = "Export"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What to export and where to.

    Raises:
        UsageError: for a value out of its limits, or one that is missing.
    """

    run_dir: str | None = setting(
        None,
        "Folder of the training run. It or `model` is required.",
        group=_GROUP,
    )
    model: str | None = setting(
        None,
        "In place of a run, a classifier that comes with the package: "
        "pretrained:NAME.",
        group=_GROUP,
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
        if not self.output:
            raise UsageError(
                f"`output` is required. Received: output={self.output}."
            )
        if bool(self.run_dir) == bool(self.model):
            raise UsageError(
                "Either `run_dir` or `model` is required. Received: "
                f"run_dir={self.run_dir}, model={self.model}."
            )
        if self.model and self.checkpoint != "best":
            raise UsageError(
                "`checkpoint` goes with `run_dir`; a model has one classifier."
            )
        if self.model and not pretrained.is_pretrained(self.model):
            raise UsageError(
                f"`model` must be {pretrained.PREFIX}NAME: of other files "
                "nobody knows what their logits are called. Keras exports "
                f"those itself (`model.export`). Received: model={self.model}."
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
    """Writes a classifier for others to run, and checks it.

    It is written and checked beside its target and moved there at the end,
    so that a server which watches the folder never meets an unfinished
    version.

    Raises:
        UsageError: if there is no such classifier, the version exists
            already, or the folder cannot be written.
        TfganRobustError: if the disk refuses the files, or the export does
            not answer as the classifier does.
    """
    files.check_no_pattern("output", str(options.output))
    subject = _subject(options)
    metadata = _describe(subject, options)
    output = Path(str(options.output))
    target = output / str(options.version)
    _check_is_free(target)
    FORMATS[options.format].load()
    new = [f for f in (output, *output.parents) if not f.exists()]
    try:
        with _staging_folder(output, options.version) as staging:
            # A copy: a run that still trains may replace its classifier.
            copied = Path(staging) / "classifier.keras"
            shutil.copy(subject.file, copied)
            written = Path(staging) / "model"
            written.mkdir()
            lasting = {copied: subject.file, written: target}
            with subject.naming_imports(), _naming(lasting):
                difference = _write_and_check(
                    subject, copied, written, metadata
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


def _subject(options: ExportSettings) -> Subject:
    """Returns what is exported, which is there."""
    if options.model is not None:
        return of_pretrained(options.model)
    return of_run(Path(str(options.run_dir)), options.checkpoint)


def _describe(subject: Subject, options: ExportSettings) -> dict[str, Any]:
    """Returns the metadata that are known before anything is written."""
    return {
        "version": options.version,
        "format": options.format,
        "name": subject.name,
        "checkpoint": subject.checkpoint,
        "precision": "float32",
        "training": subject.training,
        "export_versions": stored.versions(),
    }


def _results_of(
    classifier: Any, results: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
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
    subject: Subject,
    classifier_file: Path,
    path: Path,
    metadata: dict[str, Any],
) -> float:
    format = metadata["format"]
    metadata["classifier_sha256"] = files.sha256(classifier_file)
    classifier = load("tfgan_robust.classifiers.loading:load_float32")(
        classifier_file
    )
    image_shape, num_classes = load("tfgan_robust.networks.shapes:shapes_of")(
        classifier
    )
    metadata["image_shape"] = list(image_shape)
    names = subject.class_names
    if len(names) != num_classes:
        raise UsageError(
            f"The classifier has {num_classes} outputs and "
            f"needs as many class names. Received: {len(names)} names."
        )
    metadata["robustness"] = _results_of(classifier, subject.robustness)
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
