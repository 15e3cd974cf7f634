"""What a person sees while something runs: bars, or plain lines."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from tfgan_robust.reports.numbers import format_eps


def progress_bar(
    title: str, unit: str, total: int | None = None, done: int = 0
) -> "tqdm[Any]":
    """Returns a bar with ETA on a terminal, and one that is mute elsewhere.

    Args:
        title: What is running.
        unit: What is counted.
        total: How many there are, if it is known.
        done: How many an earlier process did.
    """
    return tqdm(
        desc=title,
        total=total,
        initial=done,
        unit=unit,
        dynamic_ncols=True,
        file=sys.stderr,
        disable=None,
    )


def say(line: str) -> None:
    """Prints a line without breaking a bar."""
    tqdm.write(line)
    sys.stdout.flush()


class Settled:
    """Counts images times stages of attacks, over all measurements.

    Attributes:
        count: Those that are settled.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before = 0

    def add(self, done: int, total: int) -> int:
        """Takes how far one measurement is; returns what that adds.

        Args:
            done: Images times stages of this measurement that are settled.
            total: Of how many.
        """
        added = done - self._before
        self._before = done % total
        self.count += added
        return added


@contextlib.contextmanager
def evaluation_progress(
    title: str, total: int
) -> Iterator[Callable[[str, float, int, int, float], None]]:
    """A bar on a terminal, a line for each attack elsewhere.

    Args:
        title: What is measured.
        total: Images times stages of attacks, over all measurements.

    Yields:
        A function to be told of each image that is settled: the attack; the
        radius, 0 for clean images; how many images times stages are settled,
        and of how many; the accuracy so far in [0, 1].
    """
    settled = Settled()
    with progress_bar(title, "image", total) as bar:

        def told(
            attack: str, eps: float, done: int, total: int, accuracy: float
        ) -> None:
            bar.update(settled.add(done, total))
            label = f"{attack} eps {format_eps(eps)}" if eps else attack
            line = f"{label}: {accuracy:.1%} correct"
            bar.set_postfix_str(line, refresh=False)
            if bar.disable and done == total:
                say(line)

        yield told


@contextlib.contextmanager
def audit_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar over the checks of an audit, on a terminal."""
    with progress_bar("audit", "check") as bar:

        def told(check: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(check, refresh=False)
            bar.update(done - bar.n)

        yield told
