"""Attacks by name, with their settings; needs no TensorFlow."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from tfgan_robust.attacks.options import (
    STEP_RATIO,
    AttackOptions,
    check_choice,
)
from tfgan_robust.attacks.table import ATTACKS, AttackRow, known_attacks
from tfgan_robust.errors import UsageError, shown

CLEAN = "clean"
MOST_STEPS = 1_000_000
# DLR divides by logits of the third and, targeted, of the fourth class.
_CLASSES_FOR_DLR = {False: 3, True: 4}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One attack, run on the images that the stages before it left correct.

    Attributes:
        name: As in reports.
        attack: Its row in `ATTACKS`.
        settings: What its class is given; JSON values.
        num_targets: The most likely wrong classes, each of them aimed at in
            a run of its own; 0 for an untargeted attack.
        num_restarts: Independent runs, for each target.
    """

    name: str
    attack: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    num_targets: int = 0
    num_restarts: int = 1

    @property
    def row(self) -> AttackRow:
        """The row in `ATTACKS`."""
        return ATTACKS[self.attack]

    def build(self, plan: "AttackPlan", surrogate: Any = None) -> Any:
        """Returns the `base.Attack`.

        Args:
            plan: Whose stage this is.
            surrogate: The logits function whose gradients are followed; None
                for the attacked network's own.

        Raises:
            UsageError: if the class does not take these settings.
        """
        beside = {
            "norm": plan.norm,
            "protocol": plan.protocol,
            "targeted": self.num_targets > 0,
            "surrogate": surrogate,
        }
        taken = {k: v for k, v in beside.items() if k in self.row.takes}
        return self.row.build({**self.settings, **taken})

    @property
    def described(self) -> dict[str, Any]:
        """All settings as reports state them, targets and restarts too."""
        described = dict(self.settings)
        if self.num_targets:
            described["num_targets"] = self.num_targets
        if "num_restarts" in self.row.takes:
            described["num_restarts"] = self.num_restarts
        return described


@dataclasses.dataclass(frozen=True)
class AttackPlan:
    """What one row of a table of accuracies stands for.

    Attributes:
        name: As on the command line.
        stages: Run one after another; an image is correct if it is correct
            after all of them.
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

    @property
    def guides(self) -> set[str]:
        """Other networks that it follows: "surrogate", "generators"."""
        takes = {each for stage in self.stages for each in stage.row.takes}
        followed = {"generators"} & takes
        return followed | {"surrogate"} if self.transfer else followed


def parse_attack(name: str, **options: Any) -> AttackPlan:
    """Turns a name such as "pgd-100" or "autoattack" into a plan.

    Args:
        name: As on the command line; see `known_attacks`.
        **options: Fields of `AttackOptions`.

    Returns:
        The plan.

    Raises:
        UsageError: for an unknown name or bad options.

    Example:
        >>> plan = parse_attack("pgd-20-margin", norm="l2")
        >>> plan.norm, plan.stages[0].settings["num_steps"]
        ('l2', 20)
    """
    known = [field.name for field in dataclasses.fields(AttackOptions)]
    for option in options:
        check_choice("options", option, known)
    given = AttackOptions(**options)
    stages = _stages(name, given)
    rows = [stage.row for stage in stages]
    if not all(given.norm in row.norms for row in rows):
        knowing = [
            key for key, row in ATTACKS.items() if given.norm in row.norms
        ]
        raise UsageError(
            f"{name} knows the L-infinity norm only; with norm={given.norm} "
            f"use {', '.join(knowing[:-1])} or {knowing[-1]}."
        )
    # A result of others is the worst case by construction.
    knows_final = all("protocol" in row.takes for row in rows)
    protocol = given.protocol if knows_final else "worst"
    return AttackPlan(name, stages, protocol, given.norm)


def is_usual(plan: AttackPlan) -> bool:
    """Tells whether a plan is what its name alone stands for."""
    return not plan.transfer and plan == parse_attack(plan.name)


def follows_gradient(name: str) -> bool:
    """Tells whether a named attack follows the attacked network's gradient."""
    try:
        return all(s.row.follows_gradient for s in parse_attack(name).stages)
    except UsageError:
        return False


def transferred(plan: AttackPlan) -> AttackPlan | None:
    """Returns the plan with the gradients of another network.

    None where an attack cannot be transferred.
    """
    if any("surrogate" not in stage.row.takes for stage in plan.stages):
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
        settings = dict(stage.settings)
        fewest = _CLASSES_FOR_DLR[stage.num_targets > 0]
        if settings.get("loss") == "dlr" and num_classes < fewest:
            settings["loss"] = "margin"
        targets = min(stage.num_targets, num_classes - 1)
        stages.append(
            dataclasses.replace(stage, settings=settings, num_targets=targets)
        )
    return dataclasses.replace(plan, stages=tuple(stages))


def _stages(name: str, options: AttackOptions) -> tuple[Stage, ...]:
    for key, row in ATTACKS.items():
        match = re.fullmatch(row.pattern, name)
        if match is not None and row.parts:
            return tuple(_part(*part) for part in row.parts.items())
        if match is not None:
            return _tries(_stage(key, row, match, options), options)
    raise UsageError(
        f"Known attacks are {known_attacks()}. Received: {name or 'nothing'}."
    )


def _part(name: str, changes: Mapping[str, Any]) -> Stage:
    (stage,) = _stages(name, AttackOptions())
    return dataclasses.replace(stage, settings={**stage.settings, **changes})


def _stage(
    key: str, row: AttackRow, match: re.Match[str], options: AttackOptions
) -> Stage:
    groups = match.groupdict()
    targeted = groups.pop("targeted", "") is not None
    settings = dict(row.settings)
    for setting, text in groups.items():
        if text is not None:
            settings[setting] = _value(text, match[0])
    for option in ("random_start", "momentum"):
        if option in row.takes:
            settings[option] = getattr(options, option)
    return Stage(
        match[0],
        key,
        settings,
        row.num_targets if targeted else 0,
        options.num_restarts if "num_restarts" in row.takes else 1,
    )


def _tries(stage: Stage, options: AttackOptions) -> tuple[Stage, ...]:
    """One stage, or one for each of several step sizes."""
    if "step_size" not in stage.row.takes:
        return (stage,)
    if options.step_size is not None:
        steps = {stage.name: {"step_size": options.step_size}}
    elif options.step_sizes:
        steps = {
            f"{stage.name} step {ratio:g} eps": {"step_ratio": ratio}
            for ratio in options.step_sizes
        }
    else:
        ratio = STEP_RATIO / stage.settings["num_steps"]
        steps = {stage.name: {"step_ratio": ratio}}
    return tuple(
        dataclasses.replace(
            stage, name=name, settings={**stage.settings, **step}
        )
        for name, step in steps.items()
    )


def _value(text: str, name: str) -> int | str:
    if not text.isdecimal():
        return text
    # Lengths first: Python reads no numbers of thousands of digits.
    if len(text) > len(str(MOST_STEPS)) or not 1 <= int(text) <= MOST_STEPS:
        raise UsageError(
            f"An attack takes from 1 to {MOST_STEPS:,} steps. Received: "
            f"{shown(name)}."
        )
    return int(text)
