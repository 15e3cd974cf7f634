"""Does what trials lack, one job after the other, and says how far it is."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from experiments.study import Measurement, Study, Trial
from tfgan_robust.cli.signals import raising_on_sigterm
from tfgan_robust.errors import TfganRobustError


class Job(NamedTuple):
    """A training, or an evaluation of what was trained.

    Attributes:
        trial: Of which trial.
        measurement: What is measured; None for the training.
    """

    trial: Trial
    measurement: Measurement | None

    @property
    def title(self) -> str:
        """A few words."""
        if self.measurement is None:
            return f"train {self.trial.name}"
        return f"measure {self.trial.name}, {self.measurement.name}"

    @property
    def kind(self) -> str:
        """What takes about as long, for each unit of `size`."""
        if self.measurement is None:
            return "train"
        return str(self.measurement.flags.get("attacks"))

    @property
    def size(self) -> int:
        """Epochs, or one evaluation."""
        return self.trial.config.epochs if self.measurement is None else 1


def missing(study: Study, trials: Sequence[Trial]) -> list[Job]:
    """Returns what is still to be done, in order.

    Raises:
        UsageError: if what is kept is of other settings.
    """
    return list(_jobs(study, trials))


def _jobs(study: Study, trials: Sequence[Trial]) -> Iterator[Job]:
    # Experiments share trials.
    seen: set[str] = set()
    trained: set[str] = set()
    for trial in trials:
        wanted = [
            each
            for each in trial.measurements
            if f"{trial.name}/{each.name}" not in seen
            and not study.is_measured(trial, each)
        ]
        seen |= {f"{trial.name}/{each.name}" for each in trial.measurements}
        lacks = wanted or (trial.keeps_networks and not study.run(trial).kept())
        if lacks and trial.name not in trained and not study.is_trained(trial):
            yield Job(trial, None)
            trained.add(trial.name)
        for measurement in wanted:
            yield Job(trial, measurement)


def run(
    study: Study,
    trials: Sequence[Trial],
    *,
    after: Callable[[Trial], None] = lambda trial: None,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Does what is missing.

    What fails is named at the end and keeps nothing else from being done,
    but for what needs its networks.

    Args:
        study: Where trials are.
        trials: What is wanted.
        after: Called with a trial when one more job of it is done.
        say: Told where it stands.

    Returns:
        What failed, one line each.
    """
    jobs = missing(study, trials)
    failed: dict[str, str] = {}
    clock = Clock()
    for number, job in enumerate(jobs):
        left = clock.left(jobs[number:])
        say(f"[{number + 1} of {len(jobs)}] {job.title}{left}")
        if job.trial.name in failed:
            say("  skipped: its training failed")
            continue
        started = time.monotonic()
        try:
            if job.measurement is None:
                study.train(job.trial)
            else:
                study.measure(job.trial, job.measurement)
        except TfganRobustError as error:
            failed[job.title if job.measurement else job.trial.name] = str(
                error
            )
            say(f"  failed: {error}")
            continue
        clock.took(job, time.monotonic() - started)
        after(job.trial)
    return [f"{title}: {error}" for title, error in failed.items()]


class Clock:
    """Guesses from what jobs took how long others will take."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._sizes: dict[str, int] = {}

    def took(self, job: Job, seconds: float) -> None:
        """Notes what a job took."""
        kind = job.kind
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds
        self._sizes[kind] = self._sizes.get(kind, 0) + job.size

    def left(self, jobs: Sequence[Job]) -> str:
        """Returns words on the time that jobs will take, empty if unknown.

        Kinds of which none was done yet are taken for free, and it says so.
        """
        known = [job for job in jobs if job.kind in self._sizes]
        if not known:
            return ""
        seconds = sum(
            job.size * self._seconds[job.kind] / self._sizes[job.kind]
            for job in known
        )
        more = "at least " if len(known) < len(jobs) else "about "
        return f", {more}{duration(seconds)} left"


def duration(seconds: float) -> str:
    """Returns a time as people say it, such as "2.5 h"."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def run_interruptibly(
    study: Study, trials: Sequence[Trial], after: Callable[[Trial], None]
) -> list[str]:
    """As `run`, and SIGTERM interrupts it as Ctrl-C does."""
    with raising_on_sigterm():
        return run(study, trials, after=after)
