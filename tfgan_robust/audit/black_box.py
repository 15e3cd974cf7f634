"""Black-box attacks must not beat white-box ones (arXiv:1802.00420, 3.1)."""

from collections.abc import Iterator

import numpy as np

from tfgan_robust.attacks.plan import follows_gradient
from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import (
    FAIL_LEVEL,
    first,
    judge,
    judge_share,
    tail,
)
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.verdicts import (
    PASS,
    WARN,
    WITHOUT_UNDEFENDED,
    Finding,
    nothing_to_check,
    unchecked,
)

# Share of images that strong white-box attacks on a sound network may leave to
# a black-box attack by bad luck: their starts and steps are finite.
LEFT_OVER = 0.002
# Of those, so many images are enough: a masked network leaves far more.
SQUARE, NUM_LEFT = "square-400", 48
TRANSFERRED = "pgd-20"
# What was measured may be stronger than the audit's own attacks: AutoAttack
# fools about this share of images that they leave on a sound network, and they
# may be luckier by as many.
BEYOND_OWN = 0.02
# An undefended network falls to about 0, unless the attack is weak or the
# radius small: then it falls as the radius doubles. Beyond half of the pixel
# range, where every image can be made the same grey, it falls to any attack.
BREAKS = "pgd-100"
UNDEFENDED_WARN, UNDEFENDED_FAIL = 0.05, 0.2
LARGEST = 0.5


def square(context: AuditContext) -> Finding:
    """Square, which sees no gradient, fools none that white-box left."""
    left = context.white_box_correct
    if "square" in context.measured:
        return judge_beyond(left, left, context.measured["square"], "square")
    looked = first(left, NUM_LEFT)
    correct = context.correct_under(SQUARE, where=looked)
    return judge_beyond(left, looked, correct, SQUARE)


def transfer(context: AuditContext) -> Finding:
    """Other networks' gradients fool none that white-box attacks left."""
    others = [
        other
        for other in (context.undefended, *context.surrogates)
        if other is not None
        and other.shapes == context.classifier.shapes
        and _knows(context, other)
    ]
    if not others and (missing := _without_undefended(context)):
        return missing
    correct = left = context.white_box_correct
    for other in others:
        correct = correct & context.correct_under(
            TRANSFERRED, where=correct, surrogate=other
        )
    return judge_beyond(left, left, correct, "transfer")


def measured_attacks(context: AuditContext) -> Finding:
    """What was measured fools few that the audit's white-box attacks left.

    AutoAttack's last stage is Square: what it fools where gradients led
    nowhere is not robust, and shows that they lead nowhere.
    """
    others = [n for n in context.measured if not follows_gradient(n)]
    if not others:
        return Finding(PASS, {}, "no other attack was measured")
    left = context.white_box_correct
    correct = np.logical_and.reduce([context.measured[n] for n in others])
    return judge_beyond(left, left, correct, ", ".join(others), BEYOND_OWN)


def reported(context: AuditContext) -> Finding:
    """What is reported is no more than the audit's own attacks leave.

    A weak attack alone says too much of an honest network, too: that is no
    masked gradient, and never a FAIL.
    """
    if context.reported is None:
        return nothing_to_check("no attack was measured at this radius")
    left, told = context.white_box_correct, context.reported
    beyond = int((told & ~left).sum())
    sound = judge(beyond, len(left), BEYOND_OWN) == PASS
    return Finding(
        PASS if sound else WARN,
        {"reported": told.mean(), "white_box": left.mean()},
        f"what was measured leaves {100 * told.mean():.1f} %, white-box "
        f"attacks of the audit {100 * left.mean():.1f} %"
        f"{'' if sound else ': report autoattack'}",
    )


def undefended(context: AuditContext) -> Finding:
    """The attack brings an undefended network to about 0 %.

    If it does not at a radius that may be small, it does at a larger one.
    """
    if missing := _without_undefended(context):
        return missing
    correct = context.correct_under(BREAKS, classifier=context.undefended)
    verdict = _judge_broken(correct)
    figures = {BREAKS: correct.mean()}
    told = f"{BREAKS} leaves {100 * correct.mean():.1f} % of an undefended "
    if verdict == PASS:
        return Finding(PASS, figures, f"{told}network")
    told += f"network at {format_eps(context.eps)}"
    reason = "the attack is weak, or this network masks its gradients"
    for eps, left in _at_larger_radii(context, correct):
        figures[f"{BREAKS}@{eps:g}"] = left.mean()
        told += f", {100 * left.mean():.1f} % at {format_eps(eps)}"
        if _judge_broken(left) == PASS:
            verdict, reason = PASS, "the radius is small"
            break
    return Finding(verdict, figures, f"{told}: {reason}")


def judge_beyond(
    left: np.ndarray,
    looked: np.ndarray,
    correct: np.ndarray,
    name: str,
    allowed: float = LEFT_OVER,
) -> Finding:
    """Judges an attack on images that white-box attacks left correct.

    Args:
        left: bool [N], these images.
        looked: bool [N], those of them that were attacked.
        correct: bool [N], correct under the attack.
        name: Of the attack.
        allowed: Share of all N images that it may fool by chance.
    """
    fooled = int((looked & ~correct).sum())
    # So many images stand for those that were not attacked, too.
    of_all = round(len(left) * looked.sum() / max(left.sum(), 1))
    return Finding(
        judge(fooled, of_all, allowed),
        {"white_box": left.mean(), "fooled_beyond": fooled / max(of_all, 1)},
        f"white-box attacks leave {100 * left.mean():.1f} %; {name} fools "
        f"{fooled} of {looked.sum()} of these images",
    )


def _judge_broken(correct: np.ndarray) -> str:
    return judge_share(correct, warn=UNDEFENDED_WARN, fail=UNDEFENDED_FAIL)


def _at_larger_radii(
    context: AuditContext, correct: np.ndarray
) -> Iterator[tuple[float, np.ndarray]]:
    """Attacks what is left of the undefended network, at doubled radii.

    Args:
        context: What is audited.
        correct: bool [N], what is left at the radius of the audit.

    Yields:
        A radius, and bool [N], what is left at it and at all before it.
    """
    eps = 2 * context.eps
    while eps <= LARGEST:
        correct = correct & context.correct_under(
            BREAKS, eps=eps, where=correct, classifier=context.undefended
        )
        yield eps, correct
        eps *= 2


def _without_undefended(context: AuditContext) -> Finding | None:
    given, audited = context.undefended, context.classifier
    if given is None:
        return Finding(WARN, {}, f"{WITHOUT_UNDEFENDED}: give `undefended`")
    if given.shapes == audited.shapes:
        return _without_knowledge(context, given)
    return unchecked(
        "the undefended network takes images of "
        f"{given.image_shape} in {given.num_classes} classes, not "
        f"{audited.image_shape} in {audited.num_classes}"
    )


def _without_knowledge(
    context: AuditContext, given: Classifier
) -> Finding | None:
    """An untrained network, or one of other pixels, is fooled by anything."""
    if _knows(context, given):
        return None
    share = context.clean_correct_of(given).mean()
    return unchecked(
        f"the undefended network gets {100 * share:.1f} % of "
        f"{len(context)} clean images right, which may be chance: give one of "
        "these pixels and classes, or more images",
        {"clean": share},
    )


def _knows(context: AuditContext, other: Classifier) -> bool:
    """Tells whether a network does better than naming one class."""
    right, labels = context.clean_correct_of(other), context.labels
    most = np.unique(labels, return_counts=True)[1].max()
    chance = tail(right.sum(), len(right), most / len(labels))
    return chance < FAIL_LEVEL
