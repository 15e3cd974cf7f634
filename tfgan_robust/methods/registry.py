"""The training methods by name; needs no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfgan_robust.cli import fields
from tfgan_robust.methods import (
    generator_settings,
    gradient_settings,
    settings,
)
from tfgan_robust.registry import Registry


@dataclasses.dataclass(frozen=True)
class TrainingMethod:
    """One way to train.

    Attributes:
        build: The class, a `methods.base.Method`, or its name.
        help: A few words.
        settings: Its settings, a subclass of `MethodSettings`.
    """

    build: Any
    help: str
    settings: type[settings.MethodSettings]


METHODS: Registry[TrainingMethod] = Registry("method")
METHODS.add(
    "gan",
    TrainingMethod(
        "tfgan_robust.methods.generators:Generators",
        "generators, the paper's",
        generator_settings.GeneratorSettings,
    ),
)
METHODS.add(
    "start",
    TrainingMethod(
        "tfgan_robust.methods.start:LearnedStart",
        "one gradient step from a start that generators learn",
        generator_settings.LearnedStartSettings,
    ),
)
METHODS.add(
    "natural",
    TrainingMethod(
        "tfgan_robust.methods.natural:Natural",
        "nothing",
        settings.NaturalSettings,
    ),
)
METHODS.add(
    "fgsm",
    TrainingMethod(
        "tfgan_robust.methods.gradient:FGSM",
        "one gradient step from a random start (arXiv:2001.03994)",
        gradient_settings.FGSMSettings,
    ),
)
METHODS.add(
    "nfgsm",
    TrainingMethod(
        "tfgan_robust.methods.noisy:NFGSM",
        "one gradient step away from strong noise (arXiv:2202.01181)",
        gradient_settings.NFGSMSettings,
    ),
)
METHODS.add(
    "trades",
    TrainingMethod(
        "tfgan_robust.methods.trades:TRADES",
        "divergence from the answers to clean images (arXiv:1901.08573)",
        gradient_settings.TRADESSettings,
    ),
)
METHODS.add(
    "pgd",
    TrainingMethod(
        "tfgan_robust.methods.gradient:PGD",
        "PGD (arXiv:1706.06083)",
        gradient_settings.PGDSettings,
    ),
)


def settings_of(
    method: str, values: Mapping[str, Any]
) -> settings.MethodSettings:
    """Picks the settings of a method out of those of a run.

    Args:
        method: One of `METHODS`.
        values: By name; others are left out.

    Raises:
        UsageError: for an unknown method.
    """
    kind = METHODS[method].settings
    own = fields.field_names(kind)
    return kind(**{n: v for n, v in values.items() if n in own})
