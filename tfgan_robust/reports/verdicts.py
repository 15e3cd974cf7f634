"""Verdicts of an audit, and how a person reads them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"
# From best to worst.
VERDICTS = (PASS, WARN, FAIL)
# How the message of a check begins that could not be made.
NOT_CHECKED = "not checked"
# How it begins where a network without defence was missing.
WITHOUT_UNDEFENDED = f"{NOT_CHECKED} without an undefended network"


class Finding(NamedTuple):
    """What the function of a check returns.

    Attributes:
        verdict: "PASS", "WARN" or "FAIL".
        figures: What was measured; shares are of 1.
        message: One line for a person.
    """

    verdict: str
    figures: Mapping[str, float]
    message: str


def unchecked(
    reason: str, figures: Mapping[str, float] | None = None
) -> Finding:
    """Returns the finding of a check that could not be made."""
    return Finding(WARN, figures or {}, f"{NOT_CHECKED}: {reason}")


def nothing_to_check(reason: str) -> Finding:
    """Returns the finding of a check that had nothing to look at.

    That is no doubt; but it is not counted among those that passed.
    """
    return Finding(PASS, {}, f"{NOT_CHECKED}: {reason}")


@dataclasses.dataclass(frozen=True)
class Check:
    """What one check of an audit found, with its name.

    Attributes:
        check: Name of the check.
        verdict: "PASS", "WARN" or "FAIL".
        figures: What was measured; shares are of 1.
        message: One line for a person.
        forward_passes: That it took, mean for each image of the audit.
        backward_passes: That it took, mean for each image of the audit.
    """

    check: str
    verdict: str
    figures: dict[str, float]
    message: str
    forward_passes: float = 0.0
    backward_passes: float = 0.0

    @property
    def was_made(self) -> bool:
        """Whether it looked at anything."""
        return not self.message.startswith(NOT_CHECKED)


def worst(verdicts: Sequence[str]) -> str:
    """Returns the worst of some verdicts, "PASS" if there are none."""
    return max(verdicts, key=VERDICTS.index, default=PASS)


def overall(checks: Sequence[Check]) -> str:
    """Returns the worst verdict of an audit, "WARN" if it has no checks."""
    return worst([check.verdict for check in checks]) if checks else WARN


def lacks_undefended_alone(checks: Sequence[Check]) -> bool:
    """Tells whether all doubts are of checks that lacked another network."""
    doubts = [check.message for check in checks if check.verdict != PASS]
    return bool(doubts) and all(
        message.startswith(WITHOUT_UNDEFENDED) for message in doubts
    )


def format_audit(checks: Sequence[Check]) -> str:
    """Lays an audit out for a person.

    Args:
        checks: From `audit.audit`.

    Returns:
        A line with the worst verdict, then an aligned line for each check.
    """
    counted = [
        c.verdict if c.was_made or c.verdict != PASS else NOT_CHECKED
        for c in checks
    ]
    counts = ", ".join(
        f"{counted.count(each)} {each}"
        for each in (*reversed(VERDICTS), NOT_CHECKED)
        if each in counted
    )
    counts = counts or "nothing checked"
    if lacks_undefended_alone(checks):
        counts += "; only because no undefended network was at hand"
    width = max((len(check.check) for check in checks), default=0)
    return "\n".join(
        [
            f"audit: {overall(checks)} ({counts})",
            *(f"  {c.verdict}  {c.check:{width}}  {c.message}" for c in checks),
            *cost_line(checks),
        ]
    )


def cost_line(checks: Sequence[Check]) -> list[str]:
    """Returns what an audit took, in a line; none if that is not known."""
    forward = sum(check.forward_passes for check in checks)
    backward = sum(check.backward_passes for check in checks)
    if not forward:
        return []
    return [
        f"the audit took {forward:,.0f} forward and {backward:,.0f} backward "
        "passes for each of its images"
    ]
