"""Batches that are always full, so that one graph rounds all alike."""

from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class FullBatches(Generic[_Item]):
    """Collects items, and works on them in batches of one size.

    Args:
        size: Of a batch.
        work: Called with a batch, and how many of its items are new: those
            after them fill it up, and are among them.
    """

    def __init__(
        self, size: int, work: Callable[[list[_Item], int], None]
    ) -> None:
        self._size, self._work = size, work
        self._waiting: list[_Item] = []

    def add(self, item: _Item) -> None:
        """Takes an item; most wait for a full batch."""
        self._waiting.append(item)
        if len(self._waiting) == self._size:
            self.flush()

    def flush(self) -> None:
        """Works on all that wait."""
        count = len(self._waiting)
        if not count:
            return
        batch = [self._waiting[place % count] for place in range(self._size)]
        self._work(batch, count)
        self._waiting.clear()
