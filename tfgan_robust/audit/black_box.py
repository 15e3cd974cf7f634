"""Black-box attacks must not beat white-box ones (arXiv:1802.00420, 3.1)."""

from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import judge, judge_share
from tfgan_robust.classifiers.classifier import Classifier
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
    name = "square" if "square" in context.measured else SQUARE
    return _beyond_white_box(context, name, name)


def transfer(context: AuditContext) -> Finding:
    """Another network's gradient fools none that white-box attacks left."""
    if missing := _without_undefended(context):
        return missing
    return _beyond_white_box(
        context, "transfer", "pgd-100", surrogate=context.undefended
    )


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


def _beyond_white_box(
    context: AuditContext,
    name: str,
    attack: str,
    surrogate: Classifier | None = None,
) -> Finding:
    """Attacks what white-box attacks left correct."""
    left = context.white_box_correct
    correct = context.correct_under(attack, where=left, surrogate=surrogate)
    fooled = (left & ~correct).sum()
    share = left.mean()
    return Finding(
        judge(fooled, len(left), LEFT_OVER),
        {"white_box": share, "fooled_beyond": fooled / len(left)},
        f"white-box attacks leave {100 * share:.1f} %; {name} fools "
        f"{fooled} of these {left.sum()} images",
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
