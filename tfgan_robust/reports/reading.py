"""Evaluations as their folders keep them."""

import dataclasses
import math
import types
import typing
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_robust import files
from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.errors import UsageError
from tfgan_robust.reports import stage_settings
from tfgan_robust.reports.results import (
    SCHEMA_VERSION,
    Evaluation,
    Pointwise,
    Result,
    accuracy_fields,
    result_name,
)

# Counts and sizes beyond it are nobody's.
_LARGEST = 10**15
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
    """

    dataset: Dataset
    date: str
    device: str
    versions: dict[str, str]
    identity: dict[str, Any] | None = None


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
    arrays = read_arrays(folder / "masks.npz")
    if arrays and not _attach(evaluation, arrays):
        raise UsageError(
            f"masks.npz and results.json in {folder} are not of the same "
            "evaluation. Evaluate again."
        )
    _check_masks(evaluation, folder)
    labels = arrays.get("labels", np.zeros(0, np.int64))
    smallest = read_arrays(folder / "smallest.npz")
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
    try:
        if version == 2:
            _upgrade(stored)
        evaluation = _from_json(Evaluation, stored)
        conditions = _from_json(Conditions, stored)
        _check_figures(evaluation)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{source} is not as schema_version {version} has it: {error}."
        ) from None
    return evaluation, conditions


def _check_figures(evaluation: Evaluation) -> None:
    """Refuses figures that no evaluation gives.

    Raises:
        ValueError: saying what is wrong.
    """
    if evaluation.num_images < 1:
        raise ValueError(f"num_images is {evaluation.num_images}")
    for result in evaluation.results:
        name = f"the figure of {result.attack}"
        clean = result.attack == CLEAN
        if not (result.eps == 0 if clean else 0 < result.eps < math.inf):
            raise ValueError(f"{name} has eps {result.eps}")
        _check_share(result, name)
        for stage in result.stages:
            stage_settings.check(stage.settings)
    for worst in (*evaluation.pointwise, *evaluation.stored):
        _check_share(worst, f"the worst case at {worst.eps}")


def _check_share(found: Result | Pointwise, name: str) -> None:
    most = min(found.num_images, _LARGEST)
    if not 0 <= found.num_correct <= most or not 0 < most == found.num_images:
        raise ValueError(
            f"{name} counts {found.num_correct} of {found.num_images} images"
        )
    counted = accuracy_fields(found.num_correct, found.num_images)
    for field in ("accuracy", "accuracy_low", "accuracy_high"):
        stated = getattr(found, field)
        if not math.isclose(stated, counted[field], abs_tol=1e-9):
            raise ValueError(f"{name} has the {field} {stated}")


def _check_masks(evaluation: Evaluation, folder: Path) -> None:
    """Refuses figures of several evaluations.

    Under the protocol "worst" the clean image counts as the first attempt.

    Raises:
        UsageError: if an image is correct under attack and wrong while clean,
            or figures are of different numbers of images.
    """
    masks = evaluation.masks
    for result in evaluation.results:
        other = result.num_images != evaluation.num_images
        if masks and result.protocol == "worst":
            mask = masks[result.attack, result.eps]
            other = other or bool(np.any(mask & ~masks[CLEAN, 0.0]))
        if other:
            raise UsageError(
                f"The figures in {folder} are not of one evaluation: "
                f"{result_name(result.attack, result.eps)} is of other images "
                "or of another classifier than the rest. Evaluate again."
            )


def _upgrade(stored: dict[str, Any]) -> None:
    """Makes an evaluation of schema_version 2 one of 3."""
    for result in stored["results"]:
        result["stages"] = [
            stage_settings.upgraded_stage(stage, result["eps"])
            for stage in result["stages"]
        ]


def _from_json(kind: Any, value: Any) -> Any:
    """Makes dataclasses, and what they hold, of JSON values that fit."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind).items()
        known = {n: _from_json(t, value[n]) for n, t in hints if n in value}
        return typing.cast(Any, kind)(**known)
    if kind is Any:
        return value
    if origin in (list, tuple):
        return origin(_from_json(inner[0], each) for each in value)
    if origin is dict:
        return {key: _from_json(inner[1], each) for key, each in value.items()}
    if origin is types.UnionType:
        return None if value is None else _from_json(inner[0], value)
    if kind is float and type(value) is int:
        if abs(value) > _LARGEST:
            raise ValueError("a number is of more digits than any figure")
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


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
