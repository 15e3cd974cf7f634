"""Files that are written whole or not at all, and JSON that is checked."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfgan_robust.errors import UsageError

PARTIAL = ".partial-"
PATTERNS = ("*", "?", "[", "]", "\\")


def check_no_pattern(name: str, path: str | Path) -> None:
    """Refuses a folder whose name TensorFlow would take for a pattern.

    It looks for checkpoints and models by patterns, and would not find those
    that it wrote there itself.

    Args:
        name: The argument.
        path: Its value.

    Raises:
        UsageError: if a part of the whole path holds one of `PATTERNS`.
    """
    found = [each for each in PATTERNS if each in os.path.abspath(path)]
    if found:
        raise UsageError(
            f"`{name}` must not hold any of {' '.join(PATTERNS)}, which "
            f"TensorFlow takes for patterns. Received: {path}."
        )


def check_free(name: str, path: Path) -> None:
    """Refuses a folder in which something is.

    Args:
        name: Of the setting that says which.
        path: The folder, which need not be there.

    Raises:
        UsageError: if it is a file, or not empty.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path} is in use; choose another `{name}`.")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lets a reader see the old file or the whole new one.

    Args:
        path: The file to be written.

    Yields:
        Where to write instead; it takes the place of `path` at the end,
        unless an error was raised.
    """
    # Hidden, so that what a kill leaves is taken for nothing else; with the
    # suffix of the file, which Keras asks for.
    partial = path.with_name(f"{PARTIAL}{path.name}")
    yield partial
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 as `replacing` does."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any] | list[Any]) -> None:
    """Writes JSON, which knows no NaN, as `replacing` does."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """Returns the digest of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _no_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which JSON does not know")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it gives {twice[:40]!r} twice")
    return found


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Reads a JSON file that must hold one object.

    Raises:
        UsageError: if the file is absent, not JSON, or not an object.
    """
    try:
        loaded = json.loads(
            Path(path).read_text(encoding="utf-8-sig"),
            parse_constant=_no_constant,
            object_pairs_hook=_no_repeats,
        )
    except OSError as error:
        raise UsageError(
            f"Cannot read the file {path}: {error.strerror}."
        ) from None
    except RecursionError:
        raise UsageError(
            f"{path} is not valid JSON: nested too deep."
        ) from None
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(loaded, dict):
        raise UsageError(
            f"{path} must hold a JSON object. "
            f"Received: a {type(loaded).__name__}."
        )
    return loaded
