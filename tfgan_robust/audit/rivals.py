"""What knows less must do less harm (arXiv:1802.00420, section 3.1)."""

import numpy as np

from tfgan_robust.audit.sampling import judge, judge_share, tail
from tfgan_robust.audit.subject import Subject
from tfgan_robust.reports.verdicts import PASS, WARN, Check

# Images that even strong attacks on a sound network may leave to a rival by
# bad luck: their starts and steps are finite.
LEFT_OVER = 0.002
SQUARE = "square-1000"
# An undefended network falls to about 0; what keeps more images right is a
# small radius, and above a fifth rather a weak attack.
UNDEFENDED_WARN, UNDEFENDED_FAIL = 0.05, 0.2


def square(subject: Subject) -> Check:
    """Square, which sees no gradient, fools nothing that others left."""
    standing = subject.standing
    name = "square" if "square" in subject.measured else SQUARE
    right = subject.measured.get(name)
    if right is None:
        right = subject.run(name, subject.eps, subject.classifier, standing)
    return _pointwise("square", name, standing, right)


def transfer(subject: Subject) -> Check:
    """Another network's gradient fools nothing that its own left."""
    missing = _without_undefended(subject, "transfer")
    if missing is not None:
        return missing
    standing = subject.standing
    right = subject.run(
        "pgd-100",
        subject.eps,
        subject.classifier,
        standing,
        surrogate=subject.undefended,
    )
    return _pointwise("transfer", "transfer", standing, right)


def undefended(subject: Subject) -> Check:
    """The attack brings an undefended network to about 0 %."""
    missing = _without_undefended(subject, "undefended")
    if missing is not None:
        return missing
    right = subject.right("pgd-100", classifier=subject.undefended)
    correct = int(np.count_nonzero(right))
    verdict = judge_share(
        correct, len(right), warn=UNDEFENDED_WARN, fail=UNDEFENDED_FAIL
    )
    share = float(np.mean(right))
    return Check(
        "undefended",
        verdict,
        {"pgd-100": share},
        f"pgd-100 leaves {100 * share:.1f} % of an undefended network"
        + (
            ""
            if verdict == PASS
            else ": the attack is weak, or the radius small"
        ),
    )


def _pointwise(
    check: str, rival: str, standing: np.ndarray, right: np.ndarray
) -> Check:
    fooled = int(np.count_nonzero(standing & ~right))
    verdict = judge(tail(fooled, len(standing), LEFT_OVER))
    share = float(np.mean(standing))
    return Check(
        check,
        verdict,
        {"white_box": share, "fooled_beyond": fooled / len(standing)},
        f"white-box attacks leave {100 * share:.1f} %; {rival} fools "
        f"{fooled} of these {np.count_nonzero(standing)} images",
    )


def _without_undefended(subject: Subject, check: str) -> Check | None:
    given, audited = subject.undefended, subject.classifier
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
    return Check(check, WARN, {}, reason)
