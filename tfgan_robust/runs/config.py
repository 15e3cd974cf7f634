"""The configuration of a run: common settings, its method's, its network's.

`presets.py` builds it from what the user gives. Nothing here imports
TensorFlow.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from tfgan_robust.cli import fields
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.registry import METHODS
from tfgan_robust.networks.registry import NETWORKS, NetworkSettings
from tfgan_robust.runs.common import CommonSettings
from tfgan_robust.runs.learning import LearningSettings

# Settings of every run that perturb images or weights.
PERTURBING = ("eps_warmup", "weight_perturbation", "weight_perturbation_start")

# What older versions did without being told.
BEFORE: Mapping[str, Any] = {
    "method": "gan",
    "optimizer": "adam",
    "warmup": 0.0,
    "weight_decay": 0.0,
    "averaging": 0.0,
    "generator_assignment": "all",
    "zero_output": False,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(LearningSettings, CommonSettings):
    """Settings of one training run; `presets.resolve` builds them.

    Beside the common settings a configuration has those of its method
    (`methods/settings.py`) and of its network (`networks/registry.py`): it
    is an instance of all three classes, which `config_class` joins. The
    defaults are those of the preset "recommended"; `presets.PRESETS` holds
    those of the paper (Zhao, Alwidian, Mahmoud 2023).

    Raises:
        UsageError: for a value out of its limits or contradictory values.

    Example:
        >>> import tfgan_robust as tr
        >>> config = tr.resolve({"method": "pgd"})
        >>> isinstance(config, TrainConfig), config.attack_steps
        (True, 7)
        >>> config.replace(attack_steps=3).attack_steps
        3
    """

    def __post_init__(self) -> None:
        if type(self) is TrainConfig:
            raise UsageError(
                "A configuration needs the settings of its method and of its "
                "network; build it with `resolve({...})`."
            )
        fields.check(self)
        for wrong, remedy in self._of_parts("problems"):
            if wrong:
                raise UsageError(remedy)

    def problems(self) -> Iterator[tuple[bool, str]]:
        """Yields what settings of several classes must not be together."""
        yield (
            self.weight_perturbation > 0 and self.precision == "mixed_float16",
            "`weight_perturbation` follows gradients that float16 loses; use "
            "mixed_bfloat16 or float32. Received: "
            f"weight_perturbation={self.weight_perturbation:g} with "
            "precision=mixed_float16.",
        )

    def idle(self) -> Iterator[tuple[bool, str, str]]:
        """Yields what has no effect because of other classes' settings."""
        natural = self.method == "natural"
        yield natural, "eps_warmup", "with method=natural"
        generators = getattr(self, "num_networks", 0)
        no_adam = self.optimizer == "sgd" and not generators
        for name in ("beta_1", "beta_2"):
            yield no_adam, name, "with optimizer=sgd and no generators"

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yields settings that change nothing beside others, and why."""
        for is_so, name, why in self._of_parts("idle"):
            if is_so:
                yield name, why

    def _of_parts(self, rule: str) -> Iterator[Any]:
        """Yields what each class that this is joined of says by a method."""
        for part in type(self).__mro__:
            yield from vars(part).get(rule, lambda _: ())(self)

    def replace(self, **changes: Any) -> "TrainConfig":
        """Returns a checked copy with some values changed."""
        return from_values({**dataclasses.asdict(self), **changes})

    @property
    def network_settings(self) -> dict[str, Any]:
        """The settings of the network, by name."""
        part = _network_settings(self.classifier)
        return {name: getattr(self, name) for name in fields.field_names(part)}

    @property
    def run_label(self) -> str:
        """Method and formulation of a run; of the paper's, the latter alone."""
        formulation = getattr(self, "formulation", None)
        if formulation is None:
            return self.method
        if self.method == "gan":
            return str(formulation)
        begins = getattr(self, "start_from", "generator")
        if begins != "generator":
            return f"{self.method}-{begins}"
        return f"{self.method}-{formulation}"


def config_class(method: str, classifier: str) -> Any:
    """Returns the class of configurations of a method and a network.

    Args:
        method: One of `METHODS`.
        classifier: One of `NETWORKS`, or the path of a model, which has no
            settings.

    Raises:
        UsageError: for an unknown method.
    """
    parts: list[Any] = [_network_settings(classifier), METHODS[method].settings]
    return _joined(*parts)


def from_values(values: Mapping[str, Any]) -> TrainConfig:
    """Builds a configuration from all values by name, of the right types.

    Args:
        values: Of the settings of its class; what is left out has the
            default of its field.

    Raises:
        UsageError: for a bad value, or one that is no setting of its class.
    """
    kind = config_class(*_selected(values))
    _refuse_foreign(kind, values)
    return kind(**values)


def from_stored(values: Mapping[str, Any]) -> TrainConfig:
    """Builds a configuration from what a run's `config.json` holds.

    Older versions stored the settings of all methods, whatever the method,
    and did not know others, whose defaults are not what they did.

    Raises:
        UsageError: for a bad value or an unknown name.
    """
    converted = {**BEFORE, **convert(values)}
    kind = config_class(*_selected(converted))
    own = fields.field_names(kind)
    return kind(**{n: v for n, v in converted.items() if n in own})


def convert(values: Mapping[str, Any]) -> dict[str, Any]:
    """Brings values by name, as JSON holds them, to their settings' types.

    Raises:
        UsageError: for an unknown name or text that is no number.
    """
    return fields.convert_mapping(setting_classes(), values)


def _refuse_foreign(kind: type, given: Mapping[str, Any]) -> None:
    """Refuses settings of another method or network.

    Raises:
        UsageError: for the first of them.
    """
    own = fields.field_names(kind)
    for name, value in given.items():
        if name in own:
            continue
        what, users = _users_of(name)
        raise UsageError(
            f"`{name}` goes with {what} {' or '.join(users)}. Received: "
            f"{name}={value} with {what}={given.get(what, default_of(what))}."
        )


def _users_of(name: str) -> tuple[str, list[str]]:
    """Returns the table whose parts have a setting, and these parts."""
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("method", METHODS),
        ("classifier", NETWORKS),
    ]
    for what, table in tables:
        users = [
            part
            for part, row in table.items()
            if name in fields.field_names(row.settings)
        ]
        if users:
            return what, users
    raise UsageError(f"There is no setting `{name}`.")


def setting_classes() -> list[type]:
    """Returns the classes that settings of training are fields of."""
    rows: list[Any] = [*METHODS.values(), *NETWORKS.values()]
    return [TrainConfig, *dict.fromkeys(row.settings for row in rows)]


def field_defaults() -> dict[str, Any]:
    """Returns the default of each setting, whatever part has it."""
    return {
        field.name: field.default
        for kind in setting_classes()
        for field in dataclasses.fields(kind)
    }


def default_of(name: str) -> Any:
    """Returns the default of a setting of every run."""
    return TrainConfig.__dataclass_fields__[name].default


def _selected(values: Mapping[str, Any]) -> tuple[str, str]:
    method, classifier = (
        values.get(name, default_of(name)) for name in ("method", "classifier")
    )
    return method, classifier


def _network_settings(classifier: str) -> type[NetworkSettings]:
    if classifier in NETWORKS:
        return NETWORKS[classifier].settings
    return NetworkSettings


@functools.cache
def _joined(*parts: Any) -> Any:
    joined = type("TrainConfig", (*parts, TrainConfig), {})
    return dataclasses.dataclass(frozen=True, kw_only=True)(joined)
