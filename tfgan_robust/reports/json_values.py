"""Dataclasses from JSON values, which must be of the kinds that they state."""

import dataclasses
import math
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

from tfgan_robust.errors import shown

# Counts and sizes beyond it are nobody's.
LARGEST = 10**15


def from_json(
    kind: Any, value: Any, absent: Mapping[type, Collection[str]]
) -> Any:
    """Makes dataclasses, and what they hold, of JSON values that fit.

    Args:
        kind: A dataclass, or the type of one of its fields.
        value: A JSON value; names that a dataclass lacks are passed over.
        absent: By dataclass, the fields that may be missing; they have their
            defaults then.

    Raises:
        TypeError: for a value of another kind.
        ValueError: for a field that is missing, or a number that no figure
            is.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, _checked(dict, value), absent)
    if kind is Any:
        return value
    if origin in (list, tuple):
        found = _checked(list, value)
        return origin(from_json(inner[0], each, absent) for each in found)
    if origin is dict:
        found = _checked(dict, value)
        return {
            k: from_json(inner[1], each, absent) for k, each in found.items()
        }
    if origin is types.UnionType:
        return None if value is None else from_json(inner[0], value, absent)
    if kind is float:
        return _number(value)
    return _checked(kind, value)


def _dataclass(
    kind: Any, value: dict[str, Any], absent: Mapping[type, Collection[str]]
) -> Any:
    hints = typing.get_type_hints(kind)
    for name in hints:
        if name not in value and name not in absent.get(kind, ()):
            raise ValueError(f"{name} is missing")
    return kind(
        **{
            name: from_json(hint, value[name], absent)
            for name, hint in hints.items()
            if name in value
        }
    )


def _number(value: Any) -> float:
    if type(value) is int:
        if abs(value) > LARGEST:
            raise ValueError("a number is of more digits than any figure")
        return float(value)
    number: float = _checked(float, value)
    # JSON has 1e999, which Python reads.
    if not math.isfinite(number):
        raise ValueError(f"{number} is no figure")
    return number


def _checked(kind: Any, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{shown(repr(value))} is no {kind.__name__}")
    return value
