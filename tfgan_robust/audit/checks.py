"""All checks of an audit, in order."""

from collections.abc import Callable

from tfgan_robust.audit.finite_differences import finite_differences
from tfgan_robust.audit.gradients import gradients, saturation
from tfgan_robust.audit.inference import batch_independence, deterministic
from tfgan_robust.audit.rivals import square, transfer, undefended
from tfgan_robust.audit.strength import (
    more_steps,
    noise,
    one_step,
    whole_range,
)
from tfgan_robust.audit.subject import Subject
from tfgan_robust.reports.verdicts import Check

# `batch_independence` is last, since it looks at what the others left.
CHECKS: tuple[Callable[[Subject], Check], ...] = (
    more_steps,
    one_step,
    whole_range,
    noise,
    square,
    transfer,
    gradients,
    deterministic,
    saturation,
    finite_differences,
    undefended,
    batch_independence,
)
