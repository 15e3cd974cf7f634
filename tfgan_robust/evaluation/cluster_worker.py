"""What the workers of a Ray cluster do for a part of an evaluation."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tfgan_robust.cli import importing
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.lazy import load
from tfgan_robust.reports.progress import Settled

# Of workers that tell how far they are, and of whoever waits for them.
SECONDS_BETWEEN_LOOKS = 1.0


class Board:
    """Where workers tell how far they are; a Ray actor."""

    def __init__(self) -> None:
        self._progress: dict[str, tuple[int, int]] = {}
        self._starts: dict[str, int] = {}

    def start(self, part: str) -> None:
        """Notes that a worker begins with a part, or goes on with it."""
        self._starts[part] = self._starts.get(part, 0) + 1

    def tell(self, part: str, done: int, total: int) -> None:
        """Notes how far a part is."""
        self._progress[part] = done, total

    def read(self) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
        """Returns how far all parts are, and how often each was started."""
        return self._progress, self._starts


def run(
    settings: dict[str, Any],
    modules: Sequence[str],
    folder: str,
    threads: int | None,
    board: Any,
) -> TfganRobustError | None:
    """Measures a part on a worker.

    Args:
        settings: Of the part, by name.
        modules: A user's own, which are imported first.
        folder: Where the command was given; paths begin there.
        threads: Of TensorFlow; None for its own choice.
        board: The `Board`.

    Returns:
        What it is refused for.
    """
    part = settings["shard"]
    board.start.remote(part)
    try:
        _enter(folder)
        if threads is not None:
            os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
        if modules:
            importing.import_modules(",".join(modules))
        load("tfgan_robust.evaluation.session:evaluate")(
            EvaluateSettings(**settings),
            progress=_telling(
                lambda done, total: board.tell.remote(part, done, total)
            ),
        )
    except TfganRobustError as error:
        return type(error)(f"Part {part}: {error}")
    return None


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise UsageError(
            f"A worker cannot enter {folder}, where the command was given: "
            f"{error.strerror}. All machines must see the same folders."
        ) from None


def _telling(tell: Callable[[int, int], object]) -> Any:
    """Returns what stands for `reports.progress.evaluation_progress`."""

    @contextmanager
    def progress(
        title: str, total: int
    ) -> Iterator[Callable[[str, float, int, int, float], None]]:
        settled, last = Settled(), 0.0

        def told(
            attack: str, eps: float, done: int, of: int, accuracy: float
        ) -> None:
            nonlocal last
            settled.add(done, of)
            if time.monotonic() - last > SECONDS_BETWEEN_LOOKS:
                last = time.monotonic()
                tell(settled.count, total)

        yield told
        tell(total, total)

    return progress
