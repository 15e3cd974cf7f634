"""Black-box attacks must not beat white-box ones (arXiv:1802.00420, 3.1)."""

import numpy as np

from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import judge, judge_share, tail
from tfgan_robust.reports.verdicts import PASS, WARN, Finding

# Share of images that strong white-box attacks on a sound network may leave to
# a black-box attack by bad luck: their starts and steps are finite.
LEFT_OVER = 0.002
SQUARE = "square-1000"
# An undefended network falls to about 0. A small radius may leave more images
# correct; above a fifth, it is rather a weak attack.
UNDEFENDED_WARN, UNDEFENDED_FAIL = 0.05, 0.2


def square(context: AuditContext) -> Finding:
    """Square, which sees no gradient, fools none that white-box left."""
    left = context.white_box_correct
    name = "square" if "square" in context.measured else SQUARE
    correct = context.measured.get(name)
    if correct is None:
        correct = context.attack(name, context.eps, context.classifier, left)
    return _beyond_white_box(name, left, correct)


def transfer(context: AuditContext) -> Finding:
    """Another network's gradient fools none that white-box attacks left."""
    missing = _without_undefended(context)
    if missing is not None:
        return missing
    left = context.white_box_correct
    correct = context.attack(
        "pgd-100",
        context.eps,
        context.classifier,
        left,
        surrogate=context.undefended,
    )
    return _beyond_white_box("transfer", left, correct)


def undefended(context: AuditContext) -> Finding:
    """The attack brings an undefended network to about 0 %."""
    missing = _without_undefended(context)
    if missing is not None:
        return missing
    correct = context.correct_under("pgd-100", classifier=context.undefended)
    verdict = judge_share(
        int(np.count_nonzero(correct)),
        len(correct),
        warn=UNDEFENDED_WARN,
        fail=UNDEFENDED_FAIL,
    )
    share = float(np.mean(correct))
    return Finding(
        verdict,
        {"pgd-100": share},
        f"pgd-100 leaves {100 * share:.1f} % of an undefended network"
        + (
            ""
            if verdict == PASS
            else ": the attack is weak, or the radius small"
        ),
    )


def _beyond_white_box(
    attack: str, left: np.ndarray, correct: np.ndarray
) -> Finding:
    """Judges an attack by the images that white-box attacks left correct."""
    fooled = int(np.count_nonzero(left & ~correct))
    verdict = judge(tail(fooled, len(left), LEFT_OVER))
    share = float(np.mean(left))
    return Finding(
        verdict,
        {"white_box": share, "fooled_beyond": fooled / len(left)},
        f"white-box attacks leave {100 * share:.1f} %; {attack} fools "
        f"{fooled} of these {np.count_nonzero(left)} images",
    )


def _without_undefended(context: AuditContext) -> Finding | None:
    given, audited = context.undefended, context.classifier
    if given is None:
        reason = "not checked, give --undefended"
    elif (given.image_shape, given.num_classes) != (
        audited.image_shape,
        audited.num_classes,
    ):
        reason = (
            "not checked: the undefended network takes images of "
            f"{given.image_shape} in {given.num_classes} classes, not "
            f"{audited.image_shape} in {audited.num_classes}"
        )
    else:
        return None
    return Finding(WARN, {}, reason)
