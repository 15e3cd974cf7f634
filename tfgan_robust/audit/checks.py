"""The table of the checks of an audit. A new one is a function and a line."""

from typing import Any, TypeVar

from tfgan_robust.registry import Registry

_Row = TypeVar("_Row")

# A function, or where it is: "package.module:function".
CHECKS: Registry[Any] = Registry("audit check")


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


for _place in (
    "strength:more_steps",
    "strength:one_step",
    "strength:whole_range",
    "strength:noise",
    "black_box:square",
    "black_box:transfer",
    "black_box:measured_attacks",
    "black_box:reported",
    "gradients:gradients",
    "inference:deterministic",
    "gradients:saturation",
    "finite_differences:finite_differences",
    "black_box:undefended",
    "features:inner_layers",
    "features:planted",
    "images:stored_images",
    "images:shifted_images",
    "strength:occurring_classes",
    "inference:within_the_ball",
    "inference:reloaded",
    "inference:memory",
    "inference:batch_independence",
):
    add_check(f"tfgan_robust.audit.{_place}")
