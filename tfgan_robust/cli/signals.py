"""Turns Ctrl-C and SIGTERM into a request to stop cleanly."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from tfgan_robust.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

_EXIT_CODES = {
    signal.SIGINT: EXIT_INTERRUPTED,
    signal.SIGTERM: EXIT_TERMINATED,
}


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised like Ctrl-C so that what is open gets closed."""

    exit_code = EXIT_TERMINATED


class StopRequest:
    """While entered, notes the first signal; a second one interrupts at once.

    Attributes:
        exit_code: What the process should exit with; 0 while nobody asked.
    """

    exit_code = 0

    def __bool__(self) -> bool:
        return self.exit_code != 0

    def raise_if_asked(self) -> None:
        """Interrupts, as the signal that was noted does elsewhere."""
        if self.exit_code == EXIT_TERMINATED:
            raise Terminated
        if self:
            raise KeyboardInterrupt

    def __enter__(self) -> "StopRequest":
        self._before = {
            number: signal.signal(number, self._note) for number in _EXIT_CODES
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        again = bool(self)
        self.exit_code = _EXIT_CODES[signal.Signals(number)]
        if again:
            self.raise_if_asked()


@contextlib.contextmanager
def raising_on_sigterm() -> Iterator[None]:
    """Lets SIGTERM interrupt as Ctrl-C does, with an exit code of its own."""

    def stop(_: int, __: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Puts signals off until what must be done as a whole is done.

    Then each does what it would have done. Threads but the main one are never
    interrupted by a signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    with keeping_handlers():
        for number in _EXIT_CODES:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    for each in came:
        signal.raise_signal(each)


@contextlib.contextmanager
def keeping_handlers() -> Iterator[None]:
    """Puts back what is done on a signal, whatever is set meanwhile."""
    before = {number: signal.getsignal(number) for number in _EXIT_CODES}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None is one that is not Python's, which cannot be put back.
            if handler is not None:
                signal.signal(number, handler)


def ignore_all() -> None:
    """Lets a process that was interrupted end in peace, however often asked."""
    for number in _EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)
