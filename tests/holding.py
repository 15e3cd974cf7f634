"""Processes that hold a lock until they are killed."""

import contextlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def holding(script, folder):
    """Waits until a script holds a lock, and kills it in the end.

    Args:
        script: Python that prints "locked" and then waits for its input.
        folder: Its argument.
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "locked\n"
        yield
    finally:
        holder.kill()
        holder.communicate()
