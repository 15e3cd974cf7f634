"""Flags, positional arguments and help, made from the fields of settings."""

import argparse
import dataclasses
import difflib
import functools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from tfgan_robust.cli import fields
from tfgan_robust.errors import UsageError

_EPILOG = """
Flags are given as --name=value or --name value; those of true or false also
as --name and --noname. "in (0, 1]" says that 1 may be given, and 0 may not.
Lengths of perturbations: whole numbers are 255ths,
fractions (8/255) and decimals (0.03) are on the [0, 1] pixel scale.
"""
_METAVARS = {int: "INTEGER", float: "NUMBER", bool: "true|false", str: "TEXT"}
_LENGTH, _NAME = "8|8/255|0.03", "NAME"
_HELP = ("h", "help", "helpfull")


class Part(NamedTuple):
    """Settings that a command takes.

    Attributes:
        settings: Dataclass whose fields are made with `fields.setting`.
        goes_with: The value of another flag that they belong to, such as
            "method=pgd"; empty if they always apply.
    """

    settings: type
    goes_with: str = ""


class Flags:
    """The flags of a command.

    Args:
        parts: Its settings. Fields of one name are one flag. A field whose
            name is a keyword has an underscore that the flag has not.
        usage: The first lines of `--help`.
        defaults: Defaults, by name, that stand in for those of the fields in
            `--help`.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        usage: str = "",
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self._changed = defaults or {}
        self._owners: dict[str, list[Part]] = {}
        for part in parts:
            for name in fields.field_names(part.settings):
                self._owners.setdefault(name, []).append(part)
        self._parser = _Parser(
            usage=argparse.SUPPRESS,
            description=usage.strip(),
            epilog=_EPILOG.strip(),
            formatter_class=functools.partial(
                argparse.RawDescriptionHelpFormatter,
                max_help_position=6,
                width=78,
            ),
            add_help=False,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        groups: dict[str, Any] = {}
        for name in self._owners:
            title = self._limits(name).group
            if title not in groups:
                groups[title] = self._parser.add_argument_group(title)
            self._add(groups[title], name)

    def parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Returns the settings that are given, by name, of the right type.

        Raises:
            UsageError: for an unknown flag, one without value, or text that
                is not of its type; limits are not checked.
        """
        known, rest = self._split(arguments)
        if rest:
            raise UsageError(self._refusal(rest[0]))
        return self._values(known)

    def parse_known(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Does as `parse` does, and leaves alone what it does not know."""
        return self._values(self._split(arguments)[0])

    def format_help(self) -> str:
        """Returns the text of `--help`, one block for each group."""
        return self._parser.format_help()

    def name_flags(self, message: str) -> str:
        """Turns the settings in a message (`eps` or `eps=1`) into flags."""

        def name_flag(found: re.Match[str]) -> str:
            name, value = found.groups()
            return (
                f"--{_flag(name)}{value}" if name in self._owners else found[0]
            )

        return re.sub(r"`(\w+)((?:=[^`]*)?)`", name_flag, message)

    def _add(self, group: Any, name: str) -> None:
        kind, _ = fields.value_type(self._owners[name][0].settings, name)
        shown: dict[str, Any] = {
            "help": self._describe(name).replace("%", "%%"),
            "metavar": self._metavar(name, kind),
        }
        if kind is tuple:
            group.add_argument(name, nargs="+", **shown)
            return
        if kind is bool:
            shown |= {"nargs": "?", "const": "true"}
            group.add_argument(
                f"--no{name}",
                dest=name,
                action="store_const",
                const="false",
                help=argparse.SUPPRESS,
            )
        group.add_argument(f"--{_flag(name)}", dest=name, **shown)

    def _metavar(self, name: str, kind: type) -> str:
        limits = self._limits(name)
        if limits.length:
            return _LENGTH
        if limits.choices is not None:
            return _NAME
        shown = limits.positional or _METAVARS[kind]
        if limits.range_text:
            shown += f" {limits.range_text}"
        return shown if limits.unit is None else f"{shown}, {limits.unit}"

    def _describe(self, name: str) -> str:
        limits = self._limits(name)
        text = limits.help_text
        owners = [part.goes_with for part in self._owners[name]]
        if all(owners):
            text += f" Goes with {', '.join(owners)}."
        if limits.choices is not None:
            text += f" One of: {', '.join(_show(limits.choices))}."
        if limits.names is not None:
            text += f" Known: {', '.join(_show(limits.names))}."
        defaults = dict.fromkeys(self._defaults(name))
        if defaults:
            text += f" Default: {' or '.join(defaults)}."
        return text

    def _defaults(self, name: str) -> Iterator[str]:
        length = self._limits(name).length
        for part in self._owners[name]:
            default = self._changed.get(name, _field(part, name).default)
            if isinstance(default, float):
                yield (
                    fields.format_length(default) if length else f"{default:g}"
                )
            elif isinstance(default, bool):
                yield str(default).lower()
            elif default not in (None, ()):
                yield str(default)

    def _limits(self, name: str) -> fields.Limits:
        return fields.limits_of(_field(self._owners[name][0], name))

    def _split(
        self, arguments: Sequence[str]
    ) -> tuple[argparse.Namespace, list[str]]:
        """Returns the texts of flags, which may have one dash, and the rest."""
        return self._parser.parse_known_intermixed_args(
            [re.sub(r"^-(?=[A-Za-z_])", "--", text) for text in arguments]
        )

    def _values(self, known: argparse.Namespace) -> dict[str, Any]:
        return {
            name: tuple(text)
            if isinstance(text, list)
            else fields.parse_text(self._owners[name][0].settings, name, text)
            for name, text in vars(known).items()
        }

    def _refusal(self, argument: str) -> str:
        if not argument.startswith("-"):
            return (
                "Every argument is a flag of the form --name=value. "
                f"Received: {argument}."
            )
        name, _, _ = argument.lstrip("-").partition("=")
        near = difflib.get_close_matches(name, map(_flag, self._owners), 1)
        hint = f"did you mean --{near[0]}?" if near else "see --help."
        return f"There is no such flag; {hint} Received: {argument}."


def fitting(parts: Sequence[Part], given: Mapping[str, Any]) -> list[Part]:
    """Leaves out the parts that what was given has nothing to do with.

    Args:
        parts: Those of a command.
        given: Settings by name; with method=pgd the parts of other methods
            are left out.
    """
    found = []
    for part in parts:
        name, _, value = part.goes_with.partition("=")
        if name not in given:
            found.append(part)
        elif given[name] == value:
            found.append(Part(part.settings))
    return found


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Tells whether any argument is `--help`."""
    return any(
        argument.startswith("-") and argument.lstrip("-") in _HELP
        for argument in arguments
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See --help.")


def _show(names: Collection[str]) -> Iterator[str]:
    """Yields the names, with what a table of parts says of each."""
    for name in names:
        row = names[name] if isinstance(names, Mapping) else None
        text = getattr(row, "help", "")
        yield f"{name} ({text})" if text else name


def _flag(name: str) -> str:
    return name.rstrip("_")


def _field(part: Part, name: str) -> dataclasses.Field[Any]:
    return {f.name: f for f in dataclasses.fields(part.settings)}[name]
