"""How a command ends that cannot do what it was asked for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tfgan_robust.errors import TfganRobustError


@contextmanager
def error_line() -> Iterator[None]:
    """Ends the process with an error's line and exit code, if there is one."""
    try:
        yield
    except TfganRobustError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
