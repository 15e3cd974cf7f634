"""Evaluations as their folders keep them."""

import dataclasses
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_robust import files, identity
from tfgan_robust.errors import UsageError
from tfgan_robust.reports import stage_settings
from tfgan_robust.reports.consistency import (
    check_figures,
    check_masks,
    check_smallest,
)
from tfgan_robust.reports.json_values import from_json
from tfgan_robust.reports.results import (
    SCHEMA_VERSION,
    Evaluation,
    result_name,
)
from tfgan_robust.reports.verdicts import Check

# What a network that answered with NaN takes an image for.
UNKNOWN = "unknown"
# Said of evaluations without an identity.
UNPROVED = (
    "stored by an earlier version, it cannot prove to which images and to "
    "which network its figures belong"
)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The images of an evaluation, as results.json describes them."""

    name: str
    source: str
    split: str
    classes: list[str]
    draw: str = ""


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What results.json states beside the fields of `Evaluation`.

    Attributes:
        identity: What the figures belong to; None in files of earlier
            versions, which cannot prove it.
        checkpoint: The networks of a run that were measured; None where it
            was no run.
    """

    dataset: Dataset
    date: str
    device: str
    versions: dict[str, str]
    identity: dict[str, Any] | None = None
    checkpoint: str | None = None


# What earlier versions did not write yet, and what is in other files.
_ABSENT = {
    Check: ("forward_passes", "backward_passes"),
    Conditions: ("identity", "checkpoint"),
    Dataset: ("draw",),
    Evaluation: ("stored", "masks", "predicted", "smallest"),
}


@dataclasses.dataclass(frozen=True)
class StoredEvaluation:
    """What the folder of an evaluation holds.

    Attributes:
        evaluation: With masks and predictions if they were kept, and without
            `smallest`.
        conditions: What holds for all of its figures.
        labels: int64 [n]; empty if masks.npz was not kept.
        smallest: The arrays of smallest.npz; empty if it was not kept.
    """

    evaluation: Evaluation
    conditions: Conditions
    labels: np.ndarray
    smallest: dict[str, np.ndarray]

    @property
    def class_names(self) -> list[str]:
        """A name for each class that occurs anywhere."""
        names = self.conditions.dataset.classes
        seen = [self.labels, *self.evaluation.predicted.values()]
        seen += [
            self.smallest[n] for n in ("label", "predicted") if self.smallest
        ]
        count = 1 + max(int(array.max(initial=-1)) for array in seen)
        return names + [str(number) for number in range(len(names), count)]

    def predicted_names(self, predicted: np.ndarray) -> list[str]:
        """Returns the names of predictions, "unknown" for -1.

        Args:
            predicted: Integer [n].
        """
        names = self.class_names
        return [names[each] if each >= 0 else UNKNOWN for each in predicted]


def read_evaluation(folder: Path) -> StoredEvaluation:
    """Reads results.json and, if they are there, masks.npz and smallest.npz.

    Raises:
        UsageError: if the folder holds no evaluation, or one that cannot be
            read, is of another schema, or contradicts itself.
    """
    path = folder / "results.json"
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    if not path.is_file():
        raise UsageError(
            f"{folder} holds no results.json. Give the folder of an evaluation."
        )
    evaluation, conditions = parse_evaluation(
        files.read_json_object(path), str(path)
    )
    arrays = _read_digested(folder / "masks.npz")
    if arrays and not _attach(evaluation, arrays):
        raise UsageError(
            f"masks.npz and results.json in {folder} are not of the same "
            "evaluation. Evaluate again."
        )
    check_masks(evaluation, folder)
    labels = arrays.get("labels", np.zeros(0, np.int64))
    smallest = _read_digested(folder / "smallest.npz")
    if smallest:
        try:
            check_smallest(smallest, evaluation, labels)
        except ValueError as error:
            raise UsageError(
                f"{folder / 'smallest.npz'} is not what an evaluation writes: "
                f"{error}. Restore it, or remove it."
            ) from None
    return StoredEvaluation(evaluation, conditions, labels, smallest)


def parse_evaluation(
    stored: dict[str, Any], source: str
) -> tuple[Evaluation, Conditions]:
    """Checks what a results.json holds.

    Args:
        stored: Its object.
        source: What errors call it.

    Returns:
        The evaluation, without masks, and its conditions.

    Raises:
        UsageError: if it is of another schema, or contradicts itself.
    """
    version = stored.get("schema_version")
    if version not in (2, SCHEMA_VERSION):
        raise UsageError(
            f"{source} must have schema_version 2 or {SCHEMA_VERSION}, the "
            f"only ones known here. Received: {version}. Evaluate again."
        )
    if not identity.fits_digest(stored):
        raise UsageError(
            f"{source} is not as it was written: its digest is not that of "
            "what it holds. Restore it, or evaluate again."
        )
    try:
        if version == 2:
            stored = _upgraded(stored)
        evaluation = from_json(Evaluation, stored, _ABSENT)
        conditions = from_json(Conditions, stored, _ABSENT)
        check_figures(evaluation)
        _check_identity(conditions.identity)
    except (
        ArithmeticError, AttributeError, KeyError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise UsageError(
            f"{source} is not as schema_version {version} has it: {error}. "
            "Restore it, or evaluate again."
        ) from None
    return evaluation, conditions


def _check_identity(belongs_to: dict[str, Any] | None) -> None:
    """Refuses an identity that does not tell images apart.

    Raises:
        ValueError: saying what is wrong.
    """
    if belongs_to is not None and not isinstance(belongs_to.get("images"), str):
        raise ValueError("its identity does not say which images these are")


def _upgraded(stored: dict[str, Any]) -> dict[str, Any]:
    """Returns an evaluation of schema_version 2 as one of 3."""
    results = [
        {
            **result,
            "stages": [
                stage_settings.upgraded_stage(stage, result["eps"])
                for stage in result["stages"]
            ],
        }
        for result in stored["results"]
    ]
    return {"notes": [], **stored, "results": results}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file, none if there is no such file.

    Raises:
        UsageError: if it cannot be read.
    """
    if not path.is_file():
        return {}
    broken = (
        OSError, EOFError, ValueError, AttributeError, RuntimeError,
        zipfile.BadZipFile, zlib.error,
    )  # fmt: skip
    try:
        # What it opens itself, NumPy leaves open when it cannot read it.
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            return {name: stored[name] for name in stored.files}
    except broken as error:
        raise UsageError(f"Cannot read {path}: {error}.") from None


def _read_digested(path: Path) -> dict[str, np.ndarray]:
    """Reads arrays as `read_arrays` does, without their digest.

    Raises:
        UsageError: if they are not those of which it is. Files of earlier
            versions have none.
    """
    arrays = read_arrays(path)
    digest = arrays.pop("digest", None)
    if digest is not None and str(digest) != identity.of_arrays(arrays):
        raise UsageError(
            f"{path} is not as it was written: its digest is not that of "
            "what it holds. Restore it, or evaluate again."
        )
    return arrays


def _attach(evaluation: Evaluation, arrays: dict[str, np.ndarray]) -> bool:
    """Gives an evaluation its masks and predictions, if they are its own."""
    none = np.zeros(0, np.int64)
    if not all(array.ndim == 1 for array in arrays.values()):
        return False
    if arrays.get("labels", none).dtype.kind not in "iu":
        return False
    for result in evaluation.results:
        name = result_name(result.attack, result.eps)
        mask, predicted = (
            arrays.get(name, none),
            arrays.get(f"{name}:predicted", none),
        )
        if mask.dtype != bool or predicted.dtype.kind not in "iu":
            return False
        sizes = {len(mask), len(predicted), len(arrays.get("labels", none))}
        if sizes != {result.num_images}:
            return False
        if np.count_nonzero(mask) != result.num_correct:
            return False
        evaluation.masks[result.attack, result.eps] = mask
        evaluation.predicted[result.attack, result.eps] = predicted
    return True
