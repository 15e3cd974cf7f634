"""Settings that are written once: dataclass fields that know their own limits.

A command's settings are a frozen dataclass whose fields are made with
`setting(...)`. From those fields come the command-line flags and their help
(`flags.py`), the check of every value, and the JSON form. Nothing here imports
TensorFlow, so that a bad value fails at once.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tfgan_robust.errors import UsageError, shown

_METADATA_KEY = "tfgan_robust"
# Whole numbers beyond this are no floats, and nobody's setting.
_LARGEST = 10**300
# TensorFlow counts in 32 bits.
_LARGEST_WHOLE = 2**31 - 1
_BOOLEANS = dict.fromkeys(("true", "1", "yes"), True) | dict.fromkeys(
    ("false", "0", "no"), False
)
_KINDS = {
    int: "a whole number",
    float: "a number (a decimal or a fraction such as 8/255)",
    bool: "true or false",
    str: "text",
    tuple: "a tuple of texts",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a value of a setting must satisfy, and how it is presented.

    Attributes:
        help: One or two sentences for `--help`, or what returns them.
        group: The heading under which `--help` lists it.
        choices: The allowed strings, or None for any. They are looked at
            when a value is checked, so that a table may grow.
        minimum: Smallest allowed number.
        maximum: Largest allowed number.
        above: Number that the value must exceed.
        positional: Of a tuple of texts: what one of them is called. They
            are given without a flag, and at least one must be.
        names: Names that the text may be or hold beside others; listed in
            the help and not checked.
        length: Whether a number is a length in the L-infinity norm, whose
            text is read by `parse_length`.
        unit: What a number counts, as in "images".
    """

    help: str | Callable[[], str]
    group: str
    choices: Collection[str] | None = None
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    positional: str | None = None
    names: Collection[str] | None = None
    length: bool = False
    unit: str | None = None

    @property
    def help_text(self) -> str:
        """The text of `help` as it is now."""
        return self.help if isinstance(self.help, str) else self.help()

    @property
    def range_text(self) -> str:
        """Where a number lies: "in [0, 1]", ">= 1", empty for anywhere."""
        lower = self.minimum if self.above is None else self.above
        if lower is not None and self.maximum is not None:
            bracket = "[" if self.above is None else "("
            return f"in {bracket}{lower:g}, {self.maximum:.10g}]"
        if lower is not None:
            return f"{'>=' if self.above is None else '>'} {lower:g}"
        return "" if self.maximum is None else f"<= {self.maximum:.10g}"


def setting(default: Any, help: str | Callable[[], str], **limits: Any) -> Any:
    """Makes a dataclass field for one setting.

    Args:
        default: The value when nothing else is given.
        help: As in `Limits`.
        **limits: The other attributes of `Limits`; `group` is required.

    Returns:
        A `dataclasses.field` carrying the limits as metadata.
    """
    metadata = {_METADATA_KEY: Limits(help=help, **limits)}
    return dataclasses.field(default=default, metadata=metadata)


def limits_of(field: dataclasses.Field[Any]) -> Limits:
    """Returns the limits that `setting` attached to a field."""
    return field.metadata[_METADATA_KEY]


def limits_by_name(settings_class: type) -> dict[str, Limits]:
    """Returns the limits of all settings by their names."""
    fields = dataclasses.fields(settings_class)
    return {field.name: limits_of(field) for field in fields}


def value_type(settings_class: type, name: str) -> tuple[type, bool]:
    """Returns the type of a setting and whether it may be None."""
    hint = typing.get_type_hints(settings_class)[name]
    if isinstance(hint, types.UnionType):
        (inner,) = [t for t in hint.__args__ if t is not type(None)]
        return inner, True
    return typing.get_origin(hint) or hint, False


def parse_number(text: str) -> float:
    """Parses a decimal or a fraction such as "8/255".

    Raises:
        ValueError: if `text` is neither.
    """
    numerator, slash, denominator = text.partition("/")
    divisor = float(denominator) if slash else 1.0
    if divisor == 0:
        raise ValueError(f"division by zero in {text!r}")
    return float(numerator) / divisor


def parse_length(text: str, norm: str = "linf") -> float:
    """Parses a radius, a step or another length of a perturbation.

    Args:
        text: A fraction (8/255) or a decimal (0.03) is on the [0, 1] pixel
            scale. A whole number (8) counts 255ths in the L-infinity norm; in
            the Euclidean one, whose lengths exceed 1, it is as it stands.
        norm: "linf" or "l2".

    Raises:
        ValueError: if `text` is no number.
    """
    if norm == "linf" and text.strip().isdecimal():
        # Python's whole numbers may be too long for a float.
        return float(text) / 255
    return parse_number(text)


def format_length(length: float) -> str:
    """Returns a length as people write it: "8/255", or "0.1"."""
    hundredths, levels = length * 100, length * 255
    if abs(hundredths - round(hundredths)) < 1e-6:
        return f"{length:g}"
    if abs(levels - round(levels)) < 1e-6:
        return f"{round(levels)}/255"
    return f"{length:.4g}"


def parse_text(settings_class: type, name: str, text: str) -> Any:
    """Turns the text of a flag into the value of a setting.

    Args:
        settings_class: A dataclass whose fields are made with `setting`.
        name: The field.
        text: What the user typed. "none" stands for None where allowed.

    Returns:
        A value of the field's type; limits are not checked here.

    Raises:
        UsageError: if the text is not of the field's type.
    """
    kind, optional = value_type(settings_class, name)
    if optional and text.lower() == "none":
        return None
    try:
        if kind is bool:
            return _BOOLEANS[text.lower()]
        if limits_by_name(settings_class)[name].length:
            return parse_length(text)
        return parse_number(text) if kind is float else kind(text)
    except (KeyError, ValueError):
        raise UsageError(
            f"`{name}` must be {_KINDS[kind]}. Received: {name}={shown(text)}."
        ) from None


def check(instance: Any) -> None:
    """Checks every field of a settings instance against type and limits.

    Raises:
        UsageError: for the first value that does not fit.
    """
    check_values(type(instance), vars(instance))


def check_values(settings_class: type, values: Mapping[str, Any]) -> None:
    """Checks some settings by name against type and limits.

    Raises:
        UsageError: for the first value that does not fit.
    """
    for field in dataclasses.fields(settings_class):
        if field.name not in values:
            continue
        value = values[field.name]
        kind, optional = value_type(settings_class, field.name)
        if value is None and optional:
            continue
        unmet = _unmet(value, kind, limits_of(field))
        if unmet is not None:
            raise UsageError(
                f"`{field.name}` must {unmet}. Received: {field.name}="
                f"{shown(value)}."
            )


def convert_mapping(
    classes: Sequence[type], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Brings values by name, as JSON holds them, to the fields' types.

    Numbers may be strings such as "8/255" and whole numbers stand for
    floats. Limits are not checked here.

    Args:
        classes: Dataclasses whose fields are made with `setting`; where
            several have a field of one name, it is the same setting.
        values: By the names of fields.

    Raises:
        UsageError: for an unknown name or text that is no number.
    """
    owners = {name: kind for kind in classes for name in field_names(kind)}
    unknown = sorted(set(values) - set(owners))
    if unknown:
        raise UsageError(
            f"Unknown setting{'s' if len(unknown) > 1 else ''}: "
            f"{', '.join(unknown)}. Known: {', '.join(owners)}."
        )
    return {
        name: _from_json(owners[name], name, value)
        for name, value in values.items()
    }


def field_names(settings_class: type) -> list[str]:
    """Returns the names of all settings, in the order of `--help`."""
    return [field.name for field in dataclasses.fields(settings_class)]


def _from_json(settings_class: type, name: str, value: Any) -> Any:
    if value_type(settings_class, name)[0] is not float:
        return value
    if isinstance(value, str):
        return parse_text(settings_class, name, value)
    whole = type(value) is int and abs(value) < _LARGEST
    return float(value) if whole else value


def _unmet(value: Any, kind: type, limits: Limits) -> str | None:
    """Returns the first demand that a value fails, or None."""
    if type(value) is not kind:
        return f"be {_KINDS[kind]}"
    if limits.choices is not None and value not in limits.choices:
        return f"be one of {', '.join(limits.choices)}"
    if value == "" or value == ():
        return "not be empty"
    return _unmet_bound(value, limits) if kind in (int, float) else None


def _unmet_bound(value: Any, limits: Limits) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "be finite"
    if limits.above is not None and not value > limits.above:
        return f"be greater than {limits.above:g}"
    if limits.minimum is not None and value < limits.minimum:
        return f"be at least {limits.minimum:g}"
    if limits.maximum is not None and value > limits.maximum:
        return f"be at most {limits.maximum:g}"
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        return f"be at most {_LARGEST_WHOLE}"
    return None
