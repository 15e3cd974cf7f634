"""The settings of attacks in words, and those of older evaluations."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from tfgan_robust.attacks.plan import parse_attack
from tfgan_robust.errors import UsageError

_NUMBERS = ("step_size", "step_ratio", "momentum")


def describe(settings: Mapping[str, Any], eps: float) -> str:
    """Returns a stage's settings as a reader needs them to repeat it.

    Args:
        settings: By name, as in `StageResult`; names that are not known here
            are shown as they are.
        eps: The radius; steps are given as multiples of it.
    """
    shown = with_relative_step(settings, eps)
    parts = [
        tell(shown[name]) for name, tell in _WORDS.items() if name in shown
    ]
    parts += [f"{k} {v}" for k, v in shown.items() if k not in _WORDS]
    return ", ".join(part for part in parts if part)


def check(settings: Mapping[str, Any]) -> None:
    """Refuses settings that cannot be told.

    Args:
        settings: By name, as results.json holds them.

    Raises:
        ValueError: naming the first that is no finite number and must be one.
    """
    for name in _NUMBERS:
        value = settings.get(name, 0.0)
        # Only whole numbers can be too large for a float here.
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or abs(value) > sys.float_info.max
        ):
            raise ValueError(f"{name} is {str(value)[:40]}")


def with_relative_step(
    settings: Mapping[str, Any], eps: float
) -> dict[str, Any]:
    """Returns settings with the step size, if any, as a multiple of eps."""
    relative = dict(settings)
    ratio = relative.pop("step_ratio", None)
    if "step_size" in settings:
        ratio = settings["step_size"] / eps
    if ratio is not None:
        relative["step_size"] = f"{ratio:.3g} eps"
    return relative


def upgraded_stage(stage: Mapping[str, Any], eps: float) -> dict[str, Any]:
    """Returns a stage of schema_version 2 as of 3.

    Version 2 stored the same fields for every attack, whether it had such a
    setting or not.

    Args:
        stage: A stage of results.json.
        eps: The radius.
    """
    fields = ("num_steps", "loss", "num_targets", "step_size", "random_start",
              "num_restarts", "momentum")  # fmt: skip
    rest = {k: v for k, v in stage.items() if k not in fields}
    settings = {k: stage[k] for k in fields}
    settings["step_ratio"] = settings.pop("step_size") / eps
    settings["num_queries"] = settings["num_steps"]
    try:
        # Of "pgd-10 step 0.1 eps", the first word is the attack.
        (now,) = parse_attack(stage["name"].split(" ")[0]).stages
    except UsageError:
        return {**rest, "settings": settings}
    kept = {k: v for k, v in settings.items() if k in now.described}
    return {**rest, "settings": kept}


def _count(what: str) -> Callable[[int], str]:
    return lambda number: f"{number} {what}{'' if number == 1 else 's'}"


# In the order in which they are shown.
_WORDS: dict[str, Callable[[Any], str]] = {
    "num_steps": _count("step"),
    "num_queries": lambda number: (
        f"{number} quer{'y' if number == 1 else 'ies'}"
    ),
    "loss": str,
    "num_targets": _count("target"),
    "step_size": lambda text: f"step {text}",
    "momentum": lambda share: f"momentum {share:g}" if share else "",
    "random_start": lambda drawn: "random start" if drawn else "clean start",
    "num_restarts": _count("restart"),
}
