"""Presets, and how a run's settings are put together."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfgan_robust.attacks.formulations import FORMULATIONS, sees_gradient
from tfgan_robust.cli import fields
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import UsageError
from tfgan_robust.runs import config
from tfgan_robust.runs.config import TrainConfig, default_of

# The fields' own defaults are the recommended ones.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "recommended": {},
    "paper": {
        "method": "gan",
        "eps": 16 / 255,
        "generator_width": 1.0,
        "random_start": 0.0,
        "generator_step": 1.0,
        "gradient_skip": 0.0,
        "clean_weight": 1.0,
        "update": "alternating",
        "generator_mode": "inference",
        "dropout_scale": 1.0,
        "batchnorm_momentum": 0.99,
        "generator_assignment": "all",
        "zero_output": False,
        "optimizer": "adam",
        "classifier_learning_rate": 1e-4,
        "generator_learning_rate": 2e-4,
        "learning_rate_schedule": "constant",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "averaging": 0.0,
        "precision": "float32",
    },
}

# The settings on which the defaults of others depend, and the directory
# without which one of them is refused.
_SELECTORS = (
    "dataset", "data_dir", "preset", "method", "formulation", "classifier",
)  # fmt: skip


def resolve(*sources: Mapping[str, Any]) -> TrainConfig:
    """Builds the configuration of a run from defaults and given values.

    Later ones win: the defaults of the fields, those of the preset, of the
    data set, of the method, then each source. A source that holds the whole
    configuration of a run gives only what differs from the defaults of its
    own data set, preset and method, so that a later source can choose others.

    Args:
        *sources: Settings by name: first a file's, then the command line's.
            Numbers may be strings such as "8/255".

    Returns:
        The checked configuration.

    Raises:
        UsageError: for unknown names, bad values or contradictions.

    Example:
        >>> config = resolve({"dataset": "digits", "method": "pgd", "eps": 0.1})
        >>> config.eps, config.attack_steps, config.epochs
        (0.1, 7, 30)
    """
    given: dict[str, Any] = {}
    for source in sources:
        given.update(_own(config.convert(source)))
    resolved = _resolved(given)
    usual = defaults_for(given)
    for name, reason in resolved.without_effect():
        if name in given and given[name] != usual[name]:
            raise UsageError(
                f"`{name}` has no effect {reason}; leave it out. Received: "
                f"{name}={given[name]}."
            )
    return resolved


def _resolved(given: dict[str, Any]) -> TrainConfig:
    """Returns defaults with converted values; see `resolve`."""
    if isinstance(given.get("data_dir"), str):
        # The run is found again from wherever a command is started.
        path = Path(given["data_dir"]).expanduser()
        given["data_dir"] = os.path.abspath(path)
    defaults = _defaults_for(given)
    idle = {
        **config.field_defaults(),
        **PRESETS[defaults.preset],
        **DATASETS[defaults.dataset].defaults,
    }
    own = fields.field_names(type(defaults))
    # What another method has by default anyway contradicts nothing.
    return defaults.replace(
        **{n: v for n, v in given.items() if n in own or v != idle[n]}
    )


def defaults_for(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the defaults that follow from some choices, by name.

    Args:
        given: Settings by name; of these only data set, preset, method and
            others that have defaults of their own are looked at.

    Raises:
        UsageError: for an unknown name of one of them.
    """
    chosen = {name: given[name] for name in _SELECTORS if name in given}
    # Without it a folder is refused; where it is changes no default.
    settled = _defaults_for({"data_dir": ".", **chosen})
    return {
        name: value
        for name, value in dataclasses.asdict(settled).items()
        if name not in _SELECTORS
    }


def baseline_of(defended: TrainConfig) -> TrainConfig:
    """Returns the configuration of a run's undefended twin.

    Data, network, optimizer, label smoothing and budget stay, what perturbs
    images or weights does not.
    """
    kept = {
        name: value
        for name, value in dataclasses.asdict(defended).items()
        if name in fields.field_names(TrainConfig)
        or name in defended.network_settings
    }
    for name in config.PERTURBING:
        del kept[name]
    return _resolved({**kept, "method": "natural"})


def _own(source: dict[str, Any]) -> dict[str, Any]:
    """Drops from a whole configuration what its selectors imply."""
    # Older versions had one network.
    if not {*fields.field_names(TrainConfig)} - {"classifier"} <= set(source):
        return source
    implied = dataclasses.asdict(_defaults_for(source))
    return {
        name: value
        for name, value in source.items()
        if name in implied and (name in _SELECTORS or value != implied[name])
    }


def _check_defaults(dataset: str, kind: type[TrainConfig]) -> None:
    """Refuses what the row of somebody's data set has for defaults.

    Raises:
        UsageError: for unknown settings and bad values.
    """
    try:
        defaults = config.convert(DATASETS[dataset].defaults)
        fields.check_values(kind, defaults)
    except UsageError as error:
        raise UsageError(
            f"The data set {dataset} has bad `defaults`: {error}"
        ) from None


def _method_of(given: Mapping[str, Any]) -> str:
    """Returns the method of whoever names none: the preset's, or the best.

    Generators that see no gradient defend only where a gradient step follows.
    """
    preset = PRESETS.get(str(given.get("preset")), {})
    if "method" in preset:
        return str(preset["method"])
    formulation = given.get("formulation")
    if formulation is None:
        return default_of("method")
    blind = formulation in FORMULATIONS and not sees_gradient(formulation)
    return "start" if blind else "gan"


def _defaults_for(given: Mapping[str, Any]) -> TrainConfig:
    """Everything that the given names leave open."""
    selected = {
        name: given.get(name, default_of(name))
        for name in _SELECTORS
        if name in fields.field_names(TrainConfig)
    }
    if "method" not in given:
        selected["method"] = _method_of(given)
    fields.check_values(TrainConfig, selected)
    kind = config.config_class(selected["method"], selected["classifier"])
    _check_defaults(selected["dataset"], kind)
    own = fields.field_names(kind)
    if "formulation" in own and "formulation" in given:
        selected["formulation"] = given["formulation"]
    defaults = {
        **PRESETS[selected["preset"]],
        **DATASETS[selected["dataset"]].defaults,
        **kind.method_defaults(given),
        **selected,
    }
    return kind(**{n: v for n, v in defaults.items() if n in own})
