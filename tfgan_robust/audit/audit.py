"""Audits an evaluation for gradient masking.

An attack that finds no way to fool a classifier shows a robust classifier or
a broken attack. The checks of arXiv:1902.06705 and arXiv:1802.00420 tell one
from the other.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfgan_robust.attacks.engine.execution import Execution
from tfgan_robust.audit.checks import CHECKS
from tfgan_robust.audit.context import AuditContext
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.data.splits import representative_order
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.lazy import load
from tfgan_robust.networks.devices import full_float32
from tfgan_robust.reports.numbers import check_eps
from tfgan_robust.reports.verdicts import WARN, Check, Finding, unchecked

# They look for what the others changed.
_LAST = ("memory", "batch_independence")
# Called with a check that is done, how many are, and of how many.
Progress = Callable[[str, int, int], None]


# TensorFloat-32's rounding is a staircase to finite differences.
@full_float32()
def audit_classifier(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    eps: float,
    correct: Mapping[str, np.ndarray] | None = None,
    reported: np.ndarray | None = None,
    undefended: Classifier | None = None,
    surrogates: Sequence[Classifier] = (),
    seed: int = Execution.seed,
    batch_size: int = Execution.batch_size,
    jit_compile: str = Execution.jit_compile,
    num_images: int = 128,
    progress: Progress | None = None,
) -> list[Check]:
    """Runs all checks; one that cannot run says so and stops no other.

    Args:
        classifier: The classifier.
        images: uint8 [N, height, width, channels].
        labels: Integer [N].
        eps: L-infinity radius on the [0, 1] pixel scale, in (0, 1].
        correct: By an attack's name, bool [N], correct under it at `eps`
            with protocol "worst", as far as measured; these attacks are not
            run again.
        reported: bool [N], correct under all that is reported at `eps`; None
            for all of `correct`.
        undefended: A network of the same shape, trained without a defence;
            without it two checks are left out.
        surrogates: Other networks, robust ones too, whose gradients may fool
            it; those of another shape are left out.
        seed: Seed of all attacks.
        batch_size: Images in a batch.
        jit_compile: "auto", "true" or "false"; see
            `attacks.compile.resolve_jit_compile`.
        num_images: So many images are looked at, drawn from all classes.
        progress: Called after each check.

    Returns:
        One result for each check.

    Raises:
        UsageError: for arguments that do not fit.

    Example:
        >>> import keras
        >>> import tfgan_robust as tr
        >>> _, test = tr.load_test("digits")
        >>> layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
        >>> model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
        >>> checks = audit_classifier(
        ...     tr.Classifier.from_keras(model),
        ...     test.images[:16],
        ...     test.labels[:16],
        ...     eps=0.1,
        ... )
        >>> {c.check: c.verdict for c in checks}["deterministic"]
        'PASS'
    """
    correct = correct or {}
    told = {} if reported is None else {"reported": reported}
    masks = {**correct, **told}
    _check_arguments(classifier, images, labels, masks, num_images)
    check_eps(eps)
    drawn = representative_order(labels)[:num_images]
    count = len(drawn)
    execution = Execution(batch_size, seed, jit_compile)
    context = AuditContext(
        classifier,
        images[drawn],
        labels[drawn],
        eps,
        {name: mask[drawn] for name, mask in correct.items()},
        undefended,
        surrogates,
        execution.for_images(count),
        None if reported is None else reported[drawn],
        execution.for_images(len(labels)).batch_size,
    )
    found = []
    for name in sorted(CHECKS, key=lambda name: name in _LAST):
        found.append(_run(name, context))
        if progress is not None:
            progress(name, len(found), len(CHECKS))
    return found


def _run(name: str, context: AuditContext) -> Check:
    before = context.forward_passes, context.backward_passes
    check = _check(name, context)
    after = context.forward_passes, context.backward_passes
    forward, backward = (
        (new - old) / len(context)
        for old, new in zip(before, after, strict=True)
    )
    return dataclasses.replace(
        check, forward_passes=forward, backward_passes=backward
    )


def _check(name: str, context: AuditContext) -> Check:
    try:
        finding: Finding = load(CHECKS[name])(context)
    # A classifier is anybody's code, and may raise anything.
    except Exception as error:
        ours = isinstance(error, TfganRobustError)
        reason = str(error) if ours else f"{type(error).__name__}: {error}"
        return Check(name, WARN, {}, unchecked(reason).message.splitlines()[0])
    # JSON knows no NaN.
    figures = {
        k: float(v) for k, v in finding.figures.items() if math.isfinite(v)
    }
    return Check(name, finding.verdict, figures, finding.message)


def _check_arguments(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    correct: Mapping[str, np.ndarray],
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
    if images.shape[1:] != tuple(classifier.image_shape):
        raise UsageError(
            f"The classifier takes images of {tuple(classifier.image_shape)}. "
            f"Received: images of {images.shape[1:]}."
        )
    for name, mask in correct.items():
        if mask.dtype != bool or mask.shape != labels.shape:
            raise UsageError(
                f"`correct` holds bool [{len(labels)}] for each attack. "
                f"Received: {mask.dtype} {list(mask.shape)} for {name}."
            )
