"""Turns Ctrl-C and SIGTERM into a request to stop cleanly."""

import signal
from types import FrameType, TracebackType
from typing import Any

from tfgan_robust import cli

_EXIT_CODES = {
    signal.SIGINT: cli.EXIT_INTERRUPTED,
    signal.SIGTERM: cli.EXIT_TERMINATED,
}


class StopRequest:
    """While entered, notes the first signal; a second one interrupts at once.

    Attributes:
        exit_code: What the process should exit with; 0 while nobody asked.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.exit_code != 0

    def __enter__(self) -> "StopRequest":
        for number in _EXIT_CODES:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self:
            raise KeyboardInterrupt
        self.exit_code = _EXIT_CODES[signal.Signals(number)]
