"""The one way in which TensorFlow, and what needs it, is loaded late.

A bad command line is refused within a second, while TensorFlow takes several;
so commands and tables name what needs it by text.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def load(target: Any) -> Any:
    """Imports what a text names, with TensorFlow's start-up notes hidden.

    Args:
        target: "package.module", "package.module:attribute", or the object
            itself, which is returned as it is.

    Returns:
        The module, or the attribute.
    """
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    with without_notes():
        loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


@contextlib.contextmanager
def without_notes() -> Iterator[None]:
    """Hides native log lines while TensorFlow is first imported.

    They would bury the one line of an error. TF_CPP_MIN_LOG_LEVEL=0 or 1
    shows them. Python's own errors are not hidden.
    """
    wish = os.environ.get(_LEVEL)
    if "tensorflow" in sys.modules or wish not in (None, "2", "3"):
        yield
        return
    os.environ[_LEVEL] = wish or "2"
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
            _quieten(sys.modules.get("tensorflow"), wish)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _quieten(tensorflow: Any, wish: str | None) -> None:
    if tensorflow is None:
        # Not needed so far: its notes are still to come.
        if wish is None:
            del os.environ[_LEVEL]
        return
    # The first look at the devices is as talkative as the import.
    tensorflow.config.list_physical_devices()
    tensorflow.get_logger().setLevel("ERROR")
