"""Audits an evaluation for gradient masking; needs no TensorFlow to report.

An attack that finds no way to fool a classifier shows a robust classifier or
a broken attack. The checks of arXiv:1902.06705 and arXiv:1802.00420 tell one
from the other.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.reports.verdicts import WARN, Check, format_audit, overall

if TYPE_CHECKING:
    from tfgan_robust.audit.subject import Subject
    from tfgan_robust.classifiers.loading import Classifier

__all__ = ["Check", "audit_classifier", "format_audit", "overall"]

# Told a check that is done, how many are, and of how many.
Progress = Callable[[str, int, int], None]


def audit_classifier(
    classifier: "Classifier",
    images: np.ndarray,
    labels: np.ndarray,
    *,
    eps: float,
    robust: Mapping[str, np.ndarray] | None = None,
    undefended: "Classifier | None" = None,
    seed: int = 0,
    batch_size: int = 128,
    jit_compile: str = "auto",
    num_images: int = 128,
    progress: Progress | None = None,
) -> list[Check]:
    """Runs all checks; one that cannot run says so and stops no other.

    Args:
        classifier: The classifier.
        images: uint8 [N, height, width, channels].
        labels: Integer [N].
        eps: L-infinity radius on the [0, 1] pixel scale, in (0, 1].
        robust: By an attack's name, bool [N], right under it at `eps` with
            protocol "worst", as far as measured; these are not run again.
        undefended: A network of the same shape, trained without a defence;
            without it two checks are left out.
        seed: Seed of all attacks.
        batch_size: Images in a batch.
        jit_compile: "auto", "true" or "false"; see
            `attacks.compile.resolve_jit_compile`.
        num_images: Only the first so many images are looked at.
        progress: Told after each check.

    Returns:
        One result for each check.

    Raises:
        UsageError: for arguments that do not fit.
    """
    _check(images, labels, eps, robust or {}, num_images)
    if images.shape[1:] != tuple(classifier.image_shape):
        raise UsageError(
            f"The classifier takes images of {tuple(classifier.image_shape)}. "
            f"Received: images of {images.shape[1:]}."
        )
    from tfgan_robust.audit.checks import CHECKS
    from tfgan_robust.audit.subject import Subject

    count = min(num_images, len(labels))
    subject = Subject(
        classifier,
        images[:count],
        labels[:count],
        eps,
        {name: mask[:count] for name, mask in (robust or {}).items()},
        undefended,
        seed,
        min(batch_size, count),
        jit_compile,
    )
    found = []
    for done, check in enumerate(CHECKS, 1):
        found.append(_run(check, subject))
        if progress is not None:
            progress(check.__name__, done, len(CHECKS))
    return found


def _run(check: "Callable[[Subject], Check]", subject: "Subject") -> Check:
    try:
        found = check(subject)
    except TfganRobustError as error:
        return Check(check.__name__, WARN, {}, f"not checked: {error}")
    # A classifier is anybody's code, and may raise anything.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check(check.__name__, WARN, {}, f"not checked: {reason}")
    # JSON knows no NaN.
    figures = {
        k: float(v) for k, v in found.figures.items() if math.isfinite(v)
    }
    return dataclasses.replace(found, figures=figures)


def _check(
    images: np.ndarray,
    labels: np.ndarray,
    eps: float,
    robust: Mapping[str, np.ndarray],
    num_images: int,
) -> None:
    if num_images < 1 or len(labels) == 0:
        raise UsageError(
            "An audit needs at least one image. Received: "
            f"num_images={num_images} of {len(labels)}."
        )
    if images.dtype != np.uint8 or len(images) != len(labels):
        raise UsageError(
            "Give one label for each image, and images as uint8, from 0 to "
            f"255. Received: {len(labels)} labels, {len(images)} images as "
            f"{images.dtype}."
        )
    if not 0 < eps <= 1:
        raise UsageError(
            "`eps` must be in (0, 1], on the [0, 1] pixel scale. "
            f"Received: eps={eps:g}."
        )
    for name, mask in robust.items():
        if mask.dtype != bool or mask.shape != labels.shape:
            raise UsageError(
                f"`robust` holds bool [{len(labels)}] for each attack. "
                f"Received: {mask.dtype} {list(mask.shape)} for {name}."
            )
