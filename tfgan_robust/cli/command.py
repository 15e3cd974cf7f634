"""What every command does: flags, one line for an error, an exit code."""

import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from absl import logging

from tfgan_robust.cli import importing, signals
from tfgan_robust.cli.flags import Flags, Part, asks_for_help, fitting
from tfgan_robust.errors import TfganRobustError, UsageError, exit_code_of

_leaves_at_once = False

Parts = Callable[[], Sequence[Part]]
Run = Callable[[dict[str, Any]], int | None]
Defaults = Callable[[dict[str, Any]], Mapping[str, Any]]


def main(
    parts: Parts,
    run: Run,
    *,
    usage: str,
    defaults: Defaults = lambda _: {},
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Parses the command line, calls `run`, and exits with its code.

    Exit codes: 0 done, 1 failure, 2 bad flags or settings, 3 divergence,
    4 data not found, 130 interrupted, 143 terminated.

    Args:
        parts: Returns the settings that become flags; called after the
            modules of `--import`, which may add some.
        run: Receives only the settings that were given on the command line
            (name to value, types already right) and returns an exit code,
            None meaning 0.
        usage: The first lines of `--help`: what the command does, and
            examples.
        defaults: Returns, for `--help`, defaults that follow from what is
            given, as `run` receives it.
        arguments: The command line, or None for that of this process.
    """
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold what the terminal cannot write.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with signals.raising_on_sigterm():
            code = _call(parts, run, usage, defaults, arguments)
        _exit("", code or 0)
    except TfganRobustError as error:
        _exit(f"error: {' '.join(str(error).split())}", error.exit_code)
    except KeyboardInterrupt as stop:
        signals.ignore_all()
        _exit("interrupted", exit_code_of(stop))
    except Exception as error:
        if not _is_of_the_machine(error):
            if _leaves_at_once:
                _exit(traceback.format_exc(), TfganRobustError.exit_code)
            raise
        # A MemoryError may say nothing.
        first_line, *_ = str(error).splitlines() or [type(error).__name__]
        _exit(f"error: {first_line}", TfganRobustError.exit_code)


def _call(
    parts: Parts,
    run: Run,
    usage: str,
    defaults: Defaults,
    arguments: Sequence[str],
) -> int | None:
    first = Part(importing.ImportFlags)
    modules = Flags([first]).parse_known(arguments).get("import_")
    if modules is not None:
        importing.import_modules(modules)
    every = [*parts(), first]
    flags = Flags(every, usage)
    if asks_for_help(arguments):
        try:
            given = flags.parse_known(arguments)
            settled = defaults(given)
        except UsageError:
            # Who asks for help may not know better yet.
            given, settled = {}, defaults({})
        flags = Flags(fitting(every, given), usage, settled)
        print(flags.format_help(), end="")
        return 0
    try:
        given = flags.parse(arguments)
        given.pop("import_", None)
        return run(given)
    except TfganRobustError as error:
        error.args = (flags.name_flags(str(error)),)
        raise


def leave(text: str, code: int) -> NoReturn:
    """Ends the process, whatever other threads and modules are at.

    It does so even where nobody takes what is left to be printed.

    Args:
        text: Told on stderr, if there is any.
        code: The exit code.
    """
    try:
        if text:
            print(text, file=sys.stderr, flush=True)
        sys.stdout.flush()
    finally:
        os._exit(code)


def leave_at_once() -> None:
    """Makes `main` end by `leave`.

    For a process that is one of several: TensorFlow, at the usual end of one,
    waits for others, which may be gone.
    """
    global _leaves_at_once
    _leaves_at_once = True


def _exit(text: str, code: int) -> NoReturn:
    if _leaves_at_once:
        leave(text, code)
    if text:
        print(text, file=sys.stderr)
    sys.exit(code)


def _is_of_the_machine(error: Exception) -> bool:
    """Tells a full disk or memory from a bug of ours, which has a traceback.

    TensorFlow is asked only if it was loaded.
    """
    kinds: tuple[type[Exception], ...] = (OSError, MemoryError)
    if "tensorflow" in sys.modules:
        kinds += (sys.modules["tensorflow"].errors.ResourceExhaustedError,)
    return isinstance(error, kinds)
