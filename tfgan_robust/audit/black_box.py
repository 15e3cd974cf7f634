"""Black-box attacks must not beat white-box ones (arXiv:1802.00420, 3.1)."""

import numpy as np

from tfgan_robust.attacks.plan import follows_gradient
from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import first, judge, judge_share
from tfgan_robust.reports.verdicts import (
    PASS,
    WARN,
    WITHOUT_UNDEFENDED,
    Finding,
    unchecked,
)

# Share of images that strong white-box attacks on a sound network may leave to
# a black-box attack by bad luck: their starts and steps are finite.
LEFT_OVER = 0.002
# Of those, so many images are enough: a masked network leaves far more.
SQUARE, NUM_LEFT = "square-400", 48
TRANSFERRED = "pgd-20"
# What was measured may be stronger than the audit's own attacks: AutoAttack
# fools about this share of images that they leave on a sound network.
BEYOND_OWN = 0.02
# An undefended network falls to about 0. A small radius may leave more images
# correct; above a fifth, it is rather a weak attack.
UNDEFENDED_WARN, UNDEFENDED_FAIL = 0.05, 0.2


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
        if other is not None and other.shapes == context.classifier.shapes
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


def undefended(context: AuditContext) -> Finding:
    """The attack brings an undefended network to about 0 %."""
    if missing := _without_undefended(context):
        return missing
    correct = context.correct_under("pgd-100", classifier=context.undefended)
    verdict = judge_share(correct, warn=UNDEFENDED_WARN, fail=UNDEFENDED_FAIL)
    share = correct.mean()
    weak = ": the attack is weak, or the radius small"
    return Finding(
        verdict,
        {"pgd-100": share},
        f"pgd-100 leaves {100 * share:.1f} % of an undefended network"
        f"{'' if verdict == PASS else weak}",
    )


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


def _without_undefended(context: AuditContext) -> Finding | None:
    given, audited = context.undefended, context.classifier
    if given is None:
        return Finding(WARN, {}, f"{WITHOUT_UNDEFENDED}: give `undefended`")
    if given.shapes == audited.shapes:
        return None
    return unchecked(
        "the undefended network takes images of "
        f"{given.image_shape} in {given.num_classes} classes, not "
        f"{audited.image_shape} in {audited.num_classes}"
    )
