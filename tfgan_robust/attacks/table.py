r"""The table of attacks; needs no TensorFlow.

A new attack is its class and one row:

    ATTACKS.add(
        "mine",
        AttackRow(
            pattern=r"mine(?:-(?P<num_steps>\d+))?",
            help="mine[-<steps>]",
            attack="my_module:Mine",
            settings={"num_steps": 100},
        ),
    )

After that `mine` and `mine-20` are names of attacks like any other.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from tfgan_robust.errors import UsageError
from tfgan_robust.lazy import load
from tfgan_robust.registry import Registry

# The published budgets of AutoAttack (arXiv:2003.01690, section 5).
_STEPS, _TARGETS, _QUERIES = 100, 9, 5000
_COUNT = r"(?:-(?P<num_steps>\d+))?"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackRow:
    """What a name stands for: a class and how it is set, or several attacks.

    Attributes:
        pattern: Regular expression of the whole name. What its named groups
            match are settings of the class; whole numbers are counts, and
            at least 1. A group `targeted` tells whether there are targets.
        help: The name as help texts and errors show it.
        attack: The class, a subclass of `base.Attack`, or its place:
            "package.module:Class"; None for several attacks.
        parts: Of several attacks, each on the images that those before it
            left: their names, with the settings that differ from theirs.
        settings: Of the class, unless the name says otherwise.
        takes: What else the class is given, each as a keyword: "norm",
            "protocol", "targeted", "surrogate", and of the options
            "random_start", "momentum" and "step_size" (`step_ratio`, a
            multiple of eps, if none was chosen). "num_restarts": it may be
            run several times. "generators": it is run once for each of a
            run's generators.
        norms: Of the balls that it knows.
        follows_gradient: Whether it follows the attacked network's gradient.
        num_targets: The most likely wrong classes, each of them aimed at in
            a run of its own; 0 for an untargeted attack.
    """

    pattern: str
    help: str
    attack: Any = None
    parts: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict
    )
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    takes: tuple[str, ...] = ()
    norms: tuple[str, ...] = ("linf",)
    follows_gradient: bool = True
    num_targets: int = 0

    def build(self, settings: Mapping[str, Any]) -> Any:
        """Returns the attack with these settings.

        Raises:
            UsageError: if its class does not take them.
        """
        attack = load(self.attack)
        try:
            inspect.signature(attack).bind(**settings)
        except TypeError as error:
            raise UsageError(
                f"`settings` must fit the attack {self.help}: {error}. "
                f"Received: {', '.join(settings) or 'none'}."
            ) from None
        return attack(**settings)


ATTACKS: Registry[AttackRow] = Registry("attack")


def known_attacks() -> str:
    """Returns the names of all attacks, as help texts and errors list them."""
    return ", ".join(row.help for row in ATTACKS.values())


def that_take(option: str) -> list[str]:
    """Returns the attacks whose classes take something; see `AttackRow`."""
    return [name for name, row in ATTACKS.items() if option in row.takes]


def most_targets() -> int:
    """Returns how many classes an attack aims at, at most."""
    return max(row.num_targets for row in ATTACKS.values())


ATTACKS.add(
    "fgsm",
    AttackRow(
        pattern="fgsm",
        help="fgsm",
        attack="tfgan_robust.attacks.pgd:PGD",
        settings={
            "num_steps": 1,
            "loss": "cross_entropy",
            "step_ratio": 1.0,
            "random_start": False,
        },
        takes=("norm", "protocol", "surrogate"),
        norms=("linf", "l2"),
    ),
)
ATTACKS.add(
    "noise",
    AttackRow(
        pattern="noise",
        help="noise",
        attack="tfgan_robust.attacks.noise:Noise",
        takes=("norm",),
        norms=("linf", "l2"),
        follows_gradient=False,
    ),
)
ATTACKS.add(
    "pgd",
    AttackRow(
        pattern=r"pgd-(?P<num_steps>\d+)(?:-(?P<loss>margin|dlr))?"
        r"(?P<targeted>-t)?",
        help="pgd-<steps>[-margin|-dlr][-t]",
        attack="tfgan_robust.attacks.pgd:PGD",
        settings={"loss": "cross_entropy"},
        takes=(
            "norm", "protocol", "targeted", "surrogate", "step_size",
            "random_start", "momentum", "num_restarts",
        ),
        norms=("linf", "l2"),
        num_targets=_TARGETS,
    ),
)  # fmt: skip
for _kind, _loss, _targets in (
    ("ce", "cross_entropy", 0),
    ("dlr", "dlr", 0),
    ("t", "dlr", _TARGETS),
):
    ATTACKS.add(
        f"apgd-{_kind}",
        AttackRow(
            pattern=f"apgd-{_kind}{_COUNT}",
            help=f"apgd-{_kind}[-<steps>]",
            attack="tfgan_robust.attacks.apgd:APGD",
            settings={"num_steps": _STEPS, "loss": _loss},
            takes=("norm", "targeted", "num_restarts"),
            norms=("linf", "l2"),
            num_targets=_targets,
        ),
    )
ATTACKS.add(
    "fab-t",
    AttackRow(
        pattern=f"fab-t{_COUNT}",
        help="fab-t[-<steps>]",
        attack="tfgan_robust.attacks.fab:FAB",
        settings={"num_steps": _STEPS},
        num_targets=_TARGETS,
    ),
)
ATTACKS.add(
    "square",
    AttackRow(
        pattern=r"square(?:-(?P<num_queries>\d+))?",
        help="square[-<queries>]",
        attack="tfgan_robust.attacks.square:Square",
        settings={"num_queries": _QUERIES},
        follows_gradient=False,
    ),
)
ATTACKS.add(
    "pma",
    AttackRow(
        pattern=f"pma(?:-(?P<explore>rival))?{_COUNT}",
        help="pma[-rival][-<steps>]",
        attack="tfgan_robust.attacks.pma:PMA",
        settings={"num_steps": _STEPS},
        takes=("num_restarts",),
    ),
)
ATTACKS.add(
    "autoattack",
    AttackRow(
        pattern="autoattack",
        help="autoattack",
        # Its squares shrink as for 10,000 queries, as in the authors' code
        # of AutoAttack, unlike in that of Square.
        parts={
            "apgd-ce": {},
            "apgd-t": {},
            "fab-t": {},
            "square": {"rescaled": False},
        },
    ),
)
ATTACKS.add(
    "autoattack-fast",
    AttackRow(
        pattern="autoattack-fast",
        help="autoattack-fast",
        parts={"apgd-ce": {}, "apgd-t": {}},
    ),
)
ATTACKS.add(
    "generators",
    AttackRow(
        pattern="generators",
        help="generators",
        attack="tfgan_robust.attacks.generators:GeneratorAttack",
        takes=("generators",),
        follows_gradient=False,
    ),
)
