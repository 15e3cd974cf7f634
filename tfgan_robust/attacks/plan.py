"""Attacks by name, with their parameters; needs no TensorFlow."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from tfgan_robust.errors import UsageError

CLEAN = "clean"
PROTOCOLS = ("final", "worst")
NORMS = ("linf", "l2")
# Steps of this multiple of eps / num_steps reach any point of the ball from
# any other (arXiv:1706.06083).
STEP_RATIO = 2.5
# The published budgets of AutoAttack (arXiv:2003.01690, section 5).
_STEPS, _TARGETS, _QUERIES = 100, 9, 5000
# DLR divides by logits of the third and, targeted, of the fourth class.
_CLASSES_FOR_DLR = {False: 3, True: 4}

KNOWN = (
    "fgsm, noise, pgd-<steps>[-margin|-dlr][-t], apgd-ce, apgd-dlr, apgd-t, "
    "fab-t, square, autoattack, autoattack-fast, generators; the budgets of "
    "apgd, fab and square can follow, as in square-1000"
)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One attack, run on what the stages before it left standing.

    Attributes:
        name: As in reports.
        method: "pgd", "apgd", "fab", "square", "noise" or "generator".
        num_steps: Gradient steps, or queries, of each run.
        loss: One of `losses.LOSSES`; empty where there is none to choose.
        num_targets: The most likely wrong classes, each of them aimed at in
            a run of its own; 0 for an untargeted attack.
        step_size: Of PGD, in the units of the ball; None for a multiple of
            eps.
        step_ratio: That multiple.
        random_start: Whether runs begin at a random point of the ball.
        num_restarts: Independent runs, for each target.
        momentum: Of PGD: share of the past gradients that stays.
        rescaled: Of Square: whether its schedule is squeezed into the budget.
    """

    name: str
    method: str
    num_steps: int
    loss: str = ""
    num_targets: int = 0
    step_size: float | None = None
    step_ratio: float = 0.0
    random_start: bool = False
    num_restarts: int = 1
    momentum: float = 0.0
    rescaled: bool = True

    def resolved_step_size(self, eps: float) -> float:
        """Returns the step size at a radius; 0 where none can be chosen."""
        return (
            self.step_ratio * eps
            if self.step_size is None
            else (self.step_size)
        )


@dataclasses.dataclass(frozen=True)
class AttackPlan:
    """What one row of a table stands for.

    Attributes:
        name: As on the command line.
        stages: Run one after another; an image is right if it is right after
            all of them.
        protocol: "worst": every iterate counts, and so does the clean image.
            "final": only the last iterate of each run.
        norm: "linf" or "l2".
        transfer: Whether gradients are those of another network.
    """

    name: str
    stages: tuple[Stage, ...]
    protocol: str = "worst"
    norm: str = "linf"
    transfer: bool = False


def parse_attack(
    name: str,
    *,
    protocol: str = "worst",
    norm: str = "linf",
    step_size: float | None = None,
    step_sizes: Sequence[float] = (),
    random_start: bool = True,
    num_restarts: int = 1,
    momentum: float = 0.0,
) -> AttackPlan:
    """Turns a name such as "pgd-100" or "autoattack" into a plan.

    Args:
        name: As on the command line; see `KNOWN`.
        protocol: "final" or "worst"; only PGD and FGSM know "final".
        norm: "linf" or "l2"; only PGD, FGSM and noise know "l2".
        step_size: Of PGD, in the units of the ball; None for
            2.5 eps / num_steps.
        step_sizes: Of PGD: several, each of them tried, as multiples of eps.
            The weakest accuracy counts.
        random_start: Of PGD.
        num_restarts: Of PGD and APGD.
        momentum: Of PGD.

    Returns:
        The plan.

    Raises:
        UsageError: for an unknown name or bad parameters.
    """
    _check_choice("protocol", protocol, PROTOCOLS)
    _check_choice("norm", norm, NORMS)
    if num_restarts > 1 and not random_start:
        raise UsageError(
            "Restarts without a random start repeat the same attack. "
            f"Received: {num_restarts} restarts."
        )
    for parameter, values in (
        ("step_size", [] if step_size is None else [step_size]),
        ("step_sizes", step_sizes),
    ):
        if not all(value > 0 for value in values):
            raise UsageError(
                f"`{parameter}` must be positive. Received: {list(values)}."
            )
    matches = {build: re.fullmatch(p, name) for p, build in _GRAMMAR.items()}
    build, match = next(
        ((b, m) for b, m in matches.items() if m is not None), (None, None)
    )
    if build is None or match is None:
        raise UsageError(
            f"Known attacks are {KNOWN}. Received: {name or 'nothing'}."
        )
    stages = build(
        match,
        step_size=step_size,
        step_sizes=step_sizes,
        random_start=random_start,
        num_restarts=num_restarts,
        momentum=momentum,
    )
    methods = {stage.method for stage in stages}
    if norm == "l2" and not methods <= {"pgd", "noise"}:
        raise UsageError(
            f"{name} knows the L-infinity norm only; with norm=l2 use fgsm, "
            "noise or pgd."
        )
    # A result of others is the worst case by construction.
    kept = protocol if methods <= {"pgd"} else "worst"
    return AttackPlan(name, stages, kept, norm)


def is_usual(plan: AttackPlan) -> bool:
    """Tells whether a plan is what its name alone stands for."""
    return not plan.transfer and plan == parse_attack(plan.name)


def transferred(plan: AttackPlan) -> AttackPlan | None:
    """Returns the plan with the gradients of another network.

    None where an attack cannot be transferred: only PGD and FGSM can.
    """
    if any(stage.method != "pgd" for stage in plan.stages):
        return None
    return dataclasses.replace(
        plan, name=f"transfer-{plan.name}", transfer=True
    )


def for_classes(plan: AttackPlan, num_classes: int) -> AttackPlan:
    """Returns a plan as it is run on so many classes.

    Fewer classes than targets are all aimed at; where DLR is undefined, its
    numerator, the margin, takes its place.
    """
    stages = []
    for stage in plan.stages:
        targeted = stage.num_targets > 0
        loss = stage.loss
        if loss == "dlr" and num_classes < _CLASSES_FOR_DLR[targeted]:
            loss = "margin"
        targets = min(stage.num_targets, num_classes - 1)
        stages.append(
            dataclasses.replace(stage, loss=loss, num_targets=targets)
        )
    return dataclasses.replace(plan, stages=tuple(stages))


def _fgsm(_: re.Match[str], **__: Any) -> tuple[Stage, ...]:
    return (Stage("fgsm", "pgd", 1, "cross_entropy", step_ratio=1.0),)


def _noise(_: re.Match[str], **__: Any) -> tuple[Stage, ...]:
    return (Stage("noise", "noise", 1, random_start=True),)


def _pgd(
    match: re.Match[str],
    *,
    step_size: float | None,
    step_sizes: Sequence[float],
    random_start: bool,
    num_restarts: int,
    momentum: float,
) -> tuple[Stage, ...]:
    steps, loss, targeted = match.groups()
    if step_size is not None and step_sizes:
        raise UsageError("Give either `step_size` or `step_sizes`.")
    budget = _budget(steps, match[0])
    stage = Stage(
        match[0],
        "pgd",
        budget,
        loss or "cross_entropy",
        _TARGETS if targeted else 0,
        step_size,
        STEP_RATIO / budget,
        random_start,
        num_restarts,
        momentum,
    )
    return tuple(
        dataclasses.replace(
            stage, name=f"{match[0]} step {ratio:g} eps", step_ratio=ratio
        )
        for ratio in step_sizes
    ) or (stage,)


def _apgd(
    match: re.Match[str], *, num_restarts: int, **_: Any
) -> tuple[Stage, ...]:
    kind, steps = match.groups()
    loss = "cross_entropy" if kind == "ce" else "dlr"
    targets = _TARGETS if kind == "t" else 0
    return (
        Stage(
            match[0], "apgd", _budget(steps, match[0], _STEPS), loss, targets,
            random_start=True, num_restarts=num_restarts,
        ),
    )  # fmt: skip


def _fab(match: re.Match[str], **_: Any) -> tuple[Stage, ...]:
    steps = _budget(match[1], match[0], _STEPS)
    return (Stage(match[0], "fab", steps, num_targets=_TARGETS),)


def _square(match: re.Match[str], **_: Any) -> tuple[Stage, ...]:
    queries = _budget(match[1], match[0], _QUERIES)
    return (Stage(match[0], "square", queries, "margin", random_start=True),)


def _generators(_: re.Match[str], **__: Any) -> tuple[Stage, ...]:
    return (Stage("generators", "generator", 1, random_start=True),)


def _autoattack(match: re.Match[str], **_: Any) -> tuple[Stage, ...]:
    names = ["apgd-ce", "apgd-t"] + ["fab-t"] * (match[1] is None)
    stages = [parse_attack(name).stages[0] for name in names]
    if match[1] is None:
        (square,) = parse_attack("square").stages
        # As in the authors' code of AutoAttack, unlike in that of Square.
        stages.append(dataclasses.replace(square, rescaled=False))
    return tuple(stages)


_GRAMMAR: dict[str, Callable[..., tuple[Stage, ...]]] = {
    "fgsm": _fgsm,
    "noise": _noise,
    r"pgd-(\d+)(?:-(margin|dlr))?(-t)?": _pgd,
    r"apgd-(ce|dlr|t)(?:-(\d+))?": _apgd,
    r"fab-t(?:-(\d+))?": _fab,
    r"square(?:-(\d+))?": _square,
    "generators": _generators,
    "autoattack(-fast)?": _autoattack,
}


def _budget(text: str | None, name: str, default: int = 0) -> int:
    steps = default if text is None else int(text)
    if steps < 1:
        raise UsageError(
            f"An attack needs at least one step. Received: {name}."
        )
    return steps


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(
            f"`{name}` must be one of {', '.join(known)}. Received: {value}."
        )
