"""Command lines made from settings: flags, grouped help, exit codes."""

import dataclasses
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging

from tfgan_robust.cli import fields
from tfgan_robust.errors import TfganRobustError, UsageError

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

Run = Callable[[dict[str, Any]], int | None]


def main(settings_class: type, run: Run, *, usage: str) -> NoReturn:
    """Parses the command line, calls `run`, and exits with its code.

    Exit codes: 0 done, 1 failure, 2 bad flags or settings, 3 divergence,
    4 data not found, 130 interrupted, 143 terminated.

    Args:
        settings_class: Dataclass whose fields are made with
            `settings.setting`; each becomes one flag.
        run: Receives only the settings that were given on the command line
            (name to value, types already right) and returns an exit code,
            None meaning 0.
        usage: The first lines of `--help`: what the command does, and
            examples.
    """
    values = flags.FlagValues()
    _define_flags(settings_class, values)

    def parse(argv: Sequence[str]) -> Sequence[str]:
        if any(a in ("--help", "-h", "--helpfull", "-help") for a in argv[1:]):
            print(format_help(settings_class, usage))
            sys.exit(0)
        flags.FLAGS(argv[:1])  # app.run insists; ours are apart from absl's
        rest = values(argv)
        if len(rest) > 1:
            raise UsageError(
                "Every argument is a flag of the form --name=value. "
                f"Received: {rest[1]}."
            )
        return rest

    def run_given(_: Sequence[str]) -> int | None:
        return run(
            {
                name: values[name].value
                for name in fields.field_names(settings_class)
                if values[name].present
            }
        )

    logging.set_verbosity(logging.WARNING)
    try:
        app.run(run_given, flags_parser=parse)
    except (TfganRobustError, flags.Error) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", UsageError.exit_code))
    except Exception as error:
        if not _is_of_the_machine(error):
            raise
        print(f"error: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(TfganRobustError.exit_code)
    except KeyboardInterrupt as stop:
        print("interrupted", file=sys.stderr)
        sys.exit(getattr(stop, "exit_code", EXIT_INTERRUPTED))
    raise AssertionError("app.run always exits")


def _is_of_the_machine(error: Exception) -> bool:
    """Tells a full disk or memory from a bug of ours, which has a traceback.

    TensorFlow is asked only if it was loaded.
    """
    if isinstance(error, (OSError, MemoryError)):
        return True
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(
        error, tensorflow.errors.ResourceExhaustedError
    )


def format_help(settings_class: type, usage: str) -> str:
    """Returns the text of `--help`, one block for each group of settings."""
    groups: dict[str, list[str]] = {}
    for field in dataclasses.fields(settings_class):
        limits = fields.limits_of(field)
        groups.setdefault(limits.group, []).append(_flag_help(field, limits))
    blocks = [f"{title}:\n" + "\n".join(ls) for title, ls in groups.items()]
    return "\n\n".join([usage.strip(), *blocks])


def _flag_help(field: dataclasses.Field[Any], limits: fields.Limits) -> str:
    text = limits.help_text
    if limits.choices is not None:
        text += f" One of: {', '.join(limits.choices)}."
    default = field.default
    if default is not None:
        shown = f"{default:g}" if isinstance(default, float) else default
        text += f" Default: {shown}."
    indent = " " * 6
    body = textwrap.fill(
        text, 78, initial_indent=indent, subsequent_indent=indent
    )
    return f"  --{field.name}\n{body}"


class _FieldParser(flags.ArgumentParser):  # type: ignore[type-arg]
    """Parses a flag's text as the value of a settings field."""

    def __init__(self, settings_class: type, name: str) -> None:
        self._settings_class, self._name = settings_class, name
        self.syntactic_help = ""

    def parse(self, argument: Any) -> Any:
        return fields.parse_text(
            self._settings_class, self._name, str(argument)
        )


def _define_flags(settings_class: type, values: flags.FlagValues) -> None:
    for field in dataclasses.fields(settings_class):
        help_text = fields.limits_of(field).help_text
        if fields.value_type(settings_class, field.name)[0] is bool:
            flags.DEFINE_boolean(
                field.name, None, help_text, flag_values=values
            )
            continue
        flags.DEFINE(
            _FieldParser(settings_class, field.name),
            field.name,
            None,
            help_text,
            flag_values=values,
        )
