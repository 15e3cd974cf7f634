"""Defaults by data set, preset and method, and how they are put together."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfgan_robust.cli import fields
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import UsageError
from tfgan_robust.runs.config import TrainConfig, default_of

# The defaults of `TrainConfig` are the recommended ones.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "recommended": {},
    "paper": {
        "random_start": 0.0,
        "generator_step": 1.0,
        "gradient_skip": 0.0,
        "clean_weight": 1.0,
        "update": "alternating",
        "generator_mode": "inference",
        "dropout_scale": 1.0,
        "batchnorm_momentum": 0.99,
        "classifier_learning_rate": 1e-4,
        "generator_learning_rate": 2e-4,
        "learning_rate_schedule": "constant",
    },
}

# What single methods want whatever the preset says: the yardsticks are
# trained as their papers train them.
_METHOD_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gan": {},
    "natural": {"clean_weight": 1.0, "random_start": 0.0},
    "fgsm": {"clean_weight": 0.0, "random_start": 1.0},
    "pgd": {"clean_weight": 0.0, "random_start": 1.0},
}

_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "formulation": ("gan",),
    "update": ("gan",),
    "generator_mode": ("gan",),
    "num_generators": ("gan",),
    "generator_step": ("gan",),
    "generator_width": ("gan",),
    "generator_updates": ("gan",),
    "generator_learning_rate": ("gan",),
    "gradient_skip": ("gan",),
    "latent_channels": ("gan",),
    "attack_mode": ("gan", "fgsm", "pgd"),
    "adversarial_weight": ("gan", "fgsm", "pgd"),
    "batching": ("gan", "fgsm", "pgd"),
    "random_start": ("gan", "fgsm", "pgd"),
    "attack_step_size": ("fgsm", "pgd"),
    "attack_steps": ("pgd",),
}


# The settings on which the defaults of others depend, and the directory
# without which one of them is refused.
_SELECTORS = ("dataset", "data_dir", "preset", "method", "formulation")


def resolve(*sources: Mapping[str, Any]) -> TrainConfig:
    """Builds the configuration of a run from defaults and given values.

    Later ones win: the defaults of `TrainConfig`, those of the data set, of
    the preset, of the method, then each source. A source that holds the
    whole configuration of a run gives only what differs from the defaults
    of its own data set, preset and method, so that a later source can
    choose others.

    Args:
        *sources: Settings by name: first a file's, then the command line's.
            Numbers may be strings such as "8/255".

    Returns:
        The checked configuration.

    Raises:
        UsageError: for unknown names, bad values or contradictions.
    """
    given: dict[str, Any] = {}
    for source in sources:
        given.update(_own(fields.convert_mapping(TrainConfig, source)))
    defaults = _defaults_for(given)
    method = given.get("method", default_of("method"))
    for name, methods in _ONLY_FOR.items():
        changed = name in given and given[name] != getattr(defaults, name)
        if changed and method not in methods:
            raise UsageError(
                f"`{name}` goes with method {' or '.join(methods)}. "
                f"Received: {name}={given[name]} with method={method}."
            )
    return defaults.replace(**given)


def _own(source: dict[str, Any]) -> dict[str, Any]:
    """Drops from a whole configuration what its selectors imply."""
    if set(source) != set(fields.field_names(TrainConfig)):
        return source
    implied = dataclasses.asdict(_defaults_for(source))
    return {
        name: value
        for name, value in source.items()
        if name in _SELECTORS or value != implied[name]
    }


def baseline_of(config: TrainConfig) -> TrainConfig:
    """Returns the configuration of a run's undefended twin.

    Data, networks, optimizer and budget stay.
    """
    dropped = {*_ONLY_FOR, *_METHOD_DEFAULTS["natural"]}
    kept = {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if name not in dropped
    }
    return resolve(kept, {"method": "natural"})


def _defaults_for(given: Mapping[str, Any]) -> TrainConfig:
    """Everything that the given names leave open."""
    selected = {name: given.get(name, default_of(name)) for name in _SELECTORS}
    if selected["method"] != "gan":
        selected["formulation"] = default_of("formulation")
    fields.check_values(TrainConfig, selected)
    defaults = {
        **DATASETS[selected["dataset"]].defaults,
        **PRESETS[selected["preset"]],
        **_METHOD_DEFAULTS[selected["method"]],
        **selected,
    }
    if selected["formulation"] in ("x", "xz"):
        defaults["gradient_skip"] = 0.0
    return TrainConfig(**defaults)
