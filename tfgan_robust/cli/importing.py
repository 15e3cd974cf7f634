"""Users' modules, which add parts to the tables before flags are read."""

import dataclasses
import importlib.util
import os
import sys
from pathlib import Path

from tfgan_robust.cli.fields import setting
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.lazy import load, without_notes

# What --import named in this process.
IMPORTED: list[str] = []


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportFlags:
    """The flag that every command has."""

    import_: str | None = setting(
        None,
        "Comma-separated modules of yours, by name or by a path that ends in "
        ".py; imported first, so that what they add to the tables of parts "
        "can be named here.",
        group="Your own parts",
    )


def import_modules(names: str) -> None:
    """Imports users' modules, from the current folder too.

    Args:
        names: Comma-separated names of modules, or paths that end in .py.

    Raises:
        UsageError: if one is missing or raises an error.
    """
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in names.split(","):
        try:
            if name.endswith(".py"):
                _import_file(Path(name))
            else:
                load(name)
        except TfganRobustError as error:
            raise UsageError(f"Cannot import {name}: {error}") from None
        # It is a user's: it may raise anything, and call sys.exit.
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"Cannot import {name}: {type(error).__name__}: {error}."
            ) from None
        IMPORTED.append(name)


def _import_file(path: Path) -> None:
    name = path.stem
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is None or not path.exists() or not path.samefile(file):
            raise UsageError(
                f"there is another module called {name}; rename the file."
            )
        return
    if not path.is_file():
        raise UsageError("there is no such file.")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError("it is no module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with without_notes():
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
