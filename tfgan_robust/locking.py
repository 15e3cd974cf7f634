"""Folders in which one process at a time does something."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from tfgan_robust.errors import UsageError


@contextmanager
def alone_in(folder: Path, name: str, refusal: str) -> Iterator[None]:
    """Keeps others that ask for the same from a folder.

    The lock is gone with its process, however that ends.

    Args:
        folder: It is there.
        name: Of the lock's file in it: what is done there.
        refusal: Whole sentences for those who come second.

    Raises:
        UsageError: if another process, or this one, does it already.
    """
    lock = filelock.FileLock(folder / name, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UsageError(refusal) from None
    try:
        yield
    finally:
        lock.release()
