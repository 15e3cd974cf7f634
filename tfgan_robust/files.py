"""Files that are written whole or not at all, and JSON that is checked."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfgan_robust.errors import UsageError

PARTIAL = ".partial-"


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


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Reads a JSON file that must hold one object.

    Raises:
        UsageError: if the file is absent, not JSON, or not an object.
    """
    try:
        loaded = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"Cannot read the file {path}: {error.strerror}."
        ) from None
    except ValueError as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(loaded, dict):
        raise UsageError(
            f"{path} must hold a JSON object. "
            f"Received: a {type(loaded).__name__}."
        )
    return loaded
