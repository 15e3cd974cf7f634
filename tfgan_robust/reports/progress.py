"""What a person sees while something runs: bars, or plain lines."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping

from tqdm import tqdm

from tfgan_robust.reports.numbers import format_eps


class ProgressReporter:
    """A bar with ETA on a terminal, plain lines otherwise.

    Args:
        title: What is running.
        total: Number of steps of the whole run.
        done: Steps that an earlier process did.
    """

    def __init__(self, title: str, total: int, done: int) -> None:
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                desc=title,
                total=total,
                initial=done,
                unit="step",
                dynamic_ncols=True,
                file=sys.stderr,
            )

    def advance(self, steps: int, figures: Mapping[str, float]) -> None:
        """Moves the bar and shows the main figures beside it."""
        if self._bar is not None:
            self._bar.set_postfix(
                {k: f"{v:.3f}" for k, v in figures.items()}, refresh=False
            )
            self._bar.update(steps)

    def say(self, line: str) -> None:
        """Prints a line without breaking the bar."""
        if self._bar is not None:
            self._bar.write(line)
        else:
            print(line, flush=True)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


class EvaluationProgress:
    """A bar with ETA on a terminal, a line for each attack otherwise.

    Args:
        title: What is measured.
        total: Images times stages of attacks, over all measurements.
    """

    def __init__(self, title: str, total: int) -> None:
        self._bar = tqdm(
            desc=title,
            total=total,
            unit="image",
            dynamic_ncols=True,
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
        )
        self._done = 0

    def __enter__(self) -> "EvaluationProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(
        self, attack: str, eps: float, done: int, total: int, accuracy: float
    ) -> None:
        """Told of each image that is settled.

        Args:
            attack: What runs.
            eps: At which radius; 0 for clean images.
            done: Images times stages that are settled.
            total: Of so many.
            accuracy: So far, as a share of 1; it can only fall.
        """
        self._bar.update(done - self._done)
        self._done = done % total
        label = f"{attack} eps {format_eps(eps)}" if eps else attack
        if not self._bar.disable:
            self._bar.set_postfix_str(
                f"{label}: {accuracy:.1%} right", refresh=False
            )
        elif done == total:
            print(f"{label}: {accuracy:.1%} right", flush=True)


@contextlib.contextmanager
def audit_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar over the checks of an audit, on a terminal."""
    with tqdm(
        desc="audit",
        unit="check",
        dynamic_ncols=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    ) as bar:

        def told(check: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(check, refresh=False)
            bar.update(done - bar.n)

        yield told
