"""The table of the checks of an audit. A new one is a function and a line."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tfgan_robust.registry import Registry

if TYPE_CHECKING:
    from tfgan_robust.audit.context import AuditContext
    from tfgan_robust.reports.verdicts import Finding

    CheckFunction = Callable[[AuditContext], Finding]

_Row = TypeVar("_Row", bound="str | CheckFunction")

# A function, or where it is: "package.module:function".
CHECKS = Registry["str | CheckFunction"]("audit check")


def add_check(check: _Row) -> _Row:
    """Adds a check under the name of its function; works as a decorator.

    Args:
        check: From an `AuditContext` to a `Finding`; or where the function
            is, "package.module:function".

    Returns:
        The same.

    Raises:
        UsageError: if there is a check of that name.
    """
    named: Any = check
    name = (
        named.rpartition(":")[2] if isinstance(named, str) else named.__name__
    )
    CHECKS.add(name, check)
    return check


add_check("tfgan_robust.audit.strength:more_steps")
add_check("tfgan_robust.audit.strength:one_step")
add_check("tfgan_robust.audit.strength:whole_range")
add_check("tfgan_robust.audit.strength:noise")
add_check("tfgan_robust.audit.black_box:square")
add_check("tfgan_robust.audit.black_box:transfer")
add_check("tfgan_robust.audit.gradients:gradients")
add_check("tfgan_robust.audit.inference:deterministic")
add_check("tfgan_robust.audit.gradients:saturation")
add_check("tfgan_robust.audit.finite_differences:finite_differences")
add_check("tfgan_robust.audit.black_box:undefended")
add_check("tfgan_robust.audit.inference:batch_independence")
