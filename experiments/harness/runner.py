"""Does what trials lack, one job after the other, and says how far it is."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from experiments.harness.study import Measurement, Study, Trial, title
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
        return title(self.trial, self.measurement)

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
    """Returns what is still to be done, in order, but for what failed.

    Raises:
        UsageError: if what is kept is of other settings.
    """
    return list(_jobs(study, trials))


def _jobs(study: Study, trials: Sequence[Trial]) -> Iterator[Job]:
    # Experiments share trials.
    seen: set[str] = set()
    trained: set[str] = set()
    for trial in trials:
        possible = [
            each
            for each in trial.measurements
            if title(trial, each) not in seen
            and not study.has_failed(trial, each)
        ]
        wanted = [e for e in possible if not study.is_measured(trial, e)]
        seen |= {title(trial, each) for each in trial.measurements}
        needed = trial.keeps_networks and not study.has_failed(trial)
        if (wanted or needed) and trial.name not in trained:
            trained.add(trial.name)
            if not study.is_trained(trial):
                yield Job(trial, None)
                # Of another network, whatever was measured before.
                wanted = possible
        for measurement in wanted:
            yield Job(trial, measurement)


def run(
    study: Study,
    trials: Sequence[Trial],
    *,
    after: Callable[[Trial], None] = lambda trial: None,
    say: Callable[[str], None] = print,
) -> None:
    """Does what is missing.

    What fails is noted in the study and keeps nothing else from being done,
    but for what needs its networks.

    Args:
        study: Where trials are.
        trials: What is wanted.
        after: Called with a trial when one more job of it is done.
        say: Told where it stands.
    """
    jobs = missing(study, trials)
    clock = Clock()
    for number, job in enumerate(jobs):
        left = clock.left(jobs[number:])
        say(f"[{number + 1} of {len(jobs)}] {job.title}{left}")
        if job.measurement is None and study.is_lost(job.trial):
            say(f"  its networks are not in {study.runs}: trained again")
        if study.has_failed(job.trial):
            say("  skipped: its training failed")
            continue
        started = time.monotonic()
        try:
            _do(study, job)
        except TfganRobustError as error:
            study.failed[job.title] = str(error)
            say(f"  failed: {error}")
            continue
        clock.took(job, time.monotonic() - started)
        after(job.trial)


def _do(study: Study, job: Job) -> None:
    """Does one job.

    Raises:
        TfganRobustError: if it fails, or claims to be done and is not, which
            would be begun again and again.
    """
    if job.measurement is None:
        study.train(job.trial)
        done = study.is_trained(job.trial)
    else:
        study.measure(job.trial, job.measurement)
        done = study.is_measured(job.trial, job.measurement)
    if not done:
        raise TfganRobustError("it ended too early")


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
) -> None:
    """As `run`, and SIGTERM interrupts it as Ctrl-C does."""
    with raising_on_sigterm():
        run(study, trials, after=after)
