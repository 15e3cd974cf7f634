"""Whether the figures of an evaluation go together; needs no TensorFlow."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfgan_robust.attacks.options import NORMS, PROTOCOLS
from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.errors import UsageError, shown
from tfgan_robust.reports import stage_settings
from tfgan_robust.reports.json_values import LARGEST
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.results import (
    Evaluation,
    Pointwise,
    Result,
    accuracy_fields,
    correct_within,
    result_name,
)
from tfgan_robust.reports.verdicts import VERDICTS, Check

# The arrays of smallest.npz, with the kinds of their values and their axes.
_SMALLEST = {
    "clean": ("u", 4), "attacked": ("f", 4), "index": ("iu", 1),
    "norm": ("f", 1), "label": ("iu", 1), "predicted": ("iu", 1),
    "attack": ("U", 1),
}  # fmt: skip
# Data sets have fewer; names are made up to the largest label.
_MOST_CLASSES = 100_000


def check_figures(evaluation: Evaluation) -> None:
    """Refuses figures that no evaluation gives.

    Args:
        evaluation: Without masks.

    Raises:
        ValueError: saying what is wrong.
    """
    if evaluation.num_images < 1:
        raise ValueError(f"num_images is {evaluation.num_images}")
    _check_one_of("norm", evaluation.norm, NORMS)
    for result in evaluation.results:
        name = f"the figure of {result.attack}"
        clean = result.attack == CLEAN
        if not (result.eps == 0 if clean else 0 < result.eps < math.inf):
            raise ValueError(f"{name} has eps {result.eps}")
        for field, known in (
            ("norm", (evaluation.norm,)),
            ("protocol", PROTOCOLS),
        ):
            value = getattr(result, field)
            _check_one_of(f"the {field} of {result.attack}", value, known)
        _check_share(result, name)
        for stage in result.stages:
            stage_settings.check(stage.settings)
    keys = [(result.attack, result.eps) for result in evaluation.results]
    if len(set(keys)) < len(keys):
        raise ValueError("an attack is there twice")
    if keys and (CLEAN, 0) not in keys:
        raise ValueError("the accuracy on clean images is missing")
    for worst in (*evaluation.pointwise, *evaluation.stored):
        _check_share(worst, f"the worst case at {worst.eps}")
    if evaluation.audit is not None:
        _check_audit(evaluation.audit)


def _check_audit(checks: Sequence[Check]) -> None:
    if not checks:
        raise ValueError("its audit has no checks")
    for check in checks:
        _check_one_of(f"the verdict of {check.check}", check.verdict, VERDICTS)


def _check_one_of(name: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value}, and not {' or '.join(known)}")


def _check_share(found: Result | Pointwise, name: str) -> None:
    most = min(found.num_images, LARGEST)
    if not 0 <= found.num_correct <= most or not 0 < most == found.num_images:
        raise ValueError(
            f"{name} counts {found.num_correct} of {found.num_images} images"
        )
    counted = accuracy_fields(found.num_correct, found.num_images)
    for field in ("accuracy", "accuracy_low", "accuracy_high"):
        stated = getattr(found, field)
        if not math.isclose(stated, counted[field], abs_tol=1e-9):
            raise ValueError(f"{name} has the {field} {stated}")


def check_masks(evaluation: Evaluation, folder: Path) -> None:
    """Refuses figures of several evaluations.

    Under the protocol "worst" the clean image counts as the first attempt.

    Args:
        evaluation: With its masks, if they were kept.
        folder: What errors name.

    Raises:
        UsageError: if an image is correct under attack and wrong while clean,
            figures are of different numbers of images, or the worst cases
            are not those of the attacks.
    """
    masks = evaluation.masks
    for result in evaluation.results:
        other = result.num_images != evaluation.num_images
        if masks and result.protocol == "worst":
            mask = masks[result.attack, result.eps]
            other = other or bool(np.any(mask & ~masks[CLEAN, 0.0]))
        if other:
            name = result_name(result.attack, result.eps)
            raise _of_several(
                folder,
                f"{name} is of other images or of another classifier than the "
                "rest",
            )
    for worst in (*evaluation.pointwise, *evaluation.stored):
        if worst.num_images != evaluation.num_images:
            raise _of_several(folder, f"{_worst(worst)} is of other images")
    _check_worst(evaluation, folder)


def _check_worst(evaluation: Evaluation, folder: Path) -> None:
    """Refuses worst cases that do not follow from the attacks.

    Those of stored images have no masks, but the same attacks.
    """
    attacked = [r for r in evaluation.results if r.attack != CLEAN]
    expected = [
        (eps, tuple(r.attack for r in attacked if r.eps == eps))
        for eps in sorted({r.eps for r in attacked})
    ]
    for rows in (evaluation.pointwise, evaluation.stored):
        found = [(row.eps, row.attacks) for row in rows]
        if found != expected and (found or rows is evaluation.pointwise):
            raise _of_several(
                folder, "the worst cases are of other attacks or radii"
            )
    for row in evaluation.pointwise:
        if not _follows(row, evaluation):
            raise _of_several(
                folder, f"{_worst(row)} does not follow from the attacks"
            )


def _follows(worst: Pointwise, evaluation: Evaluation) -> bool:
    """Tells whether the attacks up to a radius leave so many images."""
    if evaluation.masks:
        left = correct_within(evaluation.masks, worst.eps)
        return worst.num_correct == int(np.count_nonzero(left))
    counts = [r.num_correct for r in evaluation.results if r.eps <= worst.eps]
    # What they left can be different images.
    return worst.num_correct <= min(counts)


def _worst(row: Pointwise) -> str:
    return f"the worst case at {format_eps(row.eps)}"


def check_smallest(
    arrays: Mapping[str, np.ndarray],
    evaluation: Evaluation,
    labels: np.ndarray,
) -> None:
    """Refuses arrays of smallest.npz that no evaluation writes.

    Args:
        arrays: By name.
        evaluation: Beside which they lie.
        labels: Integer [n], of its images; empty if they were not kept.

    Raises:
        ValueError: saying what is wrong.
    """
    if arrays.keys() != _SMALLEST.keys():
        raise ValueError(
            f"it must hold {', '.join(_SMALLEST)}. Received: "
            f"{shown(', '.join(arrays) or 'nothing')}"
        )
    for name, (kinds, axes) in _SMALLEST.items():
        array = arrays[name]
        if array.dtype.kind not in kinds or array.ndim != axes:
            raise ValueError(f"{name} is {array.dtype} {array.shape}")
    if len({len(array) for array in arrays.values()}) > 1:
        raise ValueError("its arrays differ in length")
    clean, attacked = arrays["clean"], arrays["attacked"]
    drawn = clean.shape[-1] in (1, 3, 4) and 0 not in clean.shape[1:]
    if clean.shape != attacked.shape or not drawn:
        raise ValueError(f"its images are {clean.shape} and {attacked.shape}")
    for name, least, most in (
        ("attacked", 0, 1.0),
        ("norm", 0, LARGEST),
        ("index", 0, evaluation.num_images - 1),
        ("label", 0, _MOST_CLASSES),
        # -1 of a network that answered with NaN.
        ("predicted", -1, _MOST_CLASSES),
    ):
        # Not a number either.
        if not np.all((arrays[name] >= least) & (arrays[name] <= most)):
            raise ValueError(f"{name} has values beyond {least} to {most:g}")
    index = arrays["index"]
    if len(set(index.tolist())) < len(index):
        raise ValueError("an image is there twice")
    known = len(labels) == evaluation.num_images
    if known and np.any(arrays["label"] != labels[index]):
        raise ValueError("its labels are not those of masks.npz")


def _of_several(folder: Path, reason: str) -> UsageError:
    return UsageError(
        f"The figures in {folder} are not of one evaluation: {reason}. "
        "Evaluate again."
    )
