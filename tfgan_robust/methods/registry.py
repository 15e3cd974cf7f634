"""The training methods by name; needs no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfgan_robust.cli import fields
from tfgan_robust.methods import settings
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
        settings.GeneratorSettings,
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
        settings.FGSMSettings,
    ),
)
METHODS.add(
    "pgd",
    TrainingMethod(
        "tfgan_robust.methods.gradient:PGD",
        "PGD (arXiv:1706.06083)",
        settings.PGDSettings,
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
