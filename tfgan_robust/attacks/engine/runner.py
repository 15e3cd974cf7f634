"""Runs attack plans on a classifier: what stays correct, and at what cost."""

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import NO_CLASS, Attack
from tfgan_robust.attacks.compile import as_graph, resolve_jit_compile
from tfgan_robust.attacks.engine.outcome import CleanPass, Outcome, StageTotals
from tfgan_robust.attacks.engine.slots import Finished, Job
from tfgan_robust.attacks.engine.stream import Stream
from tfgan_robust.attacks.plan import AttackPlan, Stage, for_classes
from tfgan_robust.attacks.table import most_targets
from tfgan_robust.cli import signals
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn, as_floats


class AttackRunner:
    """Runs plans on one classifier; each attack is compiled once.

    Args:
        logits_fn: The classifier in inference mode.
        num_classes: That it tells apart.
        batch_size: Images in a batch.
        jit_compile: "auto", "true" or "false"; see
            `attacks.compile.resolve_jit_compile`.
        surrogate: Whose gradients transferred attacks follow; None for the
            classifier's own.
        generators: The attacks behind the name `generators`.
    """

    def __init__(
        self,
        logits_fn: LogitsFn,
        num_classes: int,
        *,
        batch_size: int = 128,
        jit_compile: str = "auto",
        surrogate: LogitsFn | None = None,
        generators: Sequence[Attack] = (),
    ) -> None:
        self.batch_size = batch_size
        self.jit_compile = resolve_jit_compile(jit_compile)
        self._logits_fn, self._num_classes = logits_fn, num_classes
        self._surrogate, self._generators = surrogate, generators
        self._streams: dict[tuple[Attack, str, str], Stream] = {}
        self._look = as_graph(logits_fn, jit_compile=self.jit_compile)

    def clean(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        progress: Callable[[int, int], None] | None = None,
    ) -> CleanPass:
        """Classifies the clean images.

        Args:
            images: uint8, or float32 in [0, 1], [n, height, width, channels].
            labels: int64 [n].
            progress: Told how many images are done and correct.
        """
        predicted, rankings, correct = [], [], 0
        for start in range(0, len(labels), self.batch_size):
            part = slice(start, start + self.batch_size)
            batch, truth = as_floats(images[part]), labels[part]
            padded = np.resize(batch, (self.batch_size, *batch.shape[1:]))
            logits = self._look(tf.constant(padded)).numpy()[: len(truth)]
            broken = np.isnan(logits).any(axis=-1)
            guess = np.where(broken, NO_CLASS, logits.argmax(axis=-1))
            predicted.append(guess)
            rankings.append(_ranking(logits, truth))
            correct += int(np.count_nonzero(guess == truth))
            if progress is not None:
                progress(start + len(truth), correct)
        found = np.concatenate(predicted)
        return CleanPass(found, found == labels, np.concatenate(rankings))

    def check(self, plan: AttackPlan) -> None:
        """Refuses a plan that `run` would refuse when its turn comes.

        Raises:
            UsageError: see `run`.
        """
        for stage in for_classes(plan, self._num_classes).stages:
            self._attacks(plan, stage)

    def begin(
        self, plan: AttackPlan, labels: np.ndarray, clean: CleanPass
    ) -> Outcome:
        """Returns the outcome before any attack."""
        wrong = ~clean.correct & (plan.protocol == "worst")
        return Outcome(
            fooled=wrong,
            predicted=np.where(wrong, clean.predicted, labels).astype(np.int32),
            stage=np.where(wrong, -1, 0).astype(np.int32),
            size=np.where(wrong, 0, np.nan).astype(np.float32),
            # A clean image that is wrong needs no attack.
            stored=wrong.copy(),
            totals=[StageTotals() for _ in plan.stages],
        )

    def run(
        self,
        plan: AttackPlan,
        images: np.ndarray,
        labels: np.ndarray,
        clean: CleanPass,
        outcome: Outcome,
        *,
        eps: float,
        seed: int = 0,
        first: int = 0,
        take: Callable[[Finished], None] = lambda _: None,
    ) -> Iterator[Finished]:
        """Brings an outcome to its end, image by image.

        Args:
            plan: The attacks.
            images: uint8, or float32 in [0, 1], [n, height, width, channels].
            labels: int64 [n].
            clean: Of these images.
            outcome: From `begin`, or where an earlier run stopped; changed
                in place.
            eps: Radius, in the units of the ball.
            seed: Of everything that is drawn.
            first: Place of the first image among all of an evaluation.
            take: Called with each verdict before it is settled, so that what
                is cut off in between is attacked, and taken, again.

        Yields:
            What was just settled.

        Raises:
            UsageError: if an attack does not take its settings, or there is
                no generator to attack with.
            TfganRobustError: if an attack left the ball or the pixel range.
        """
        plan = for_classes(plan, self._num_classes)
        for number, stage in enumerate(plan.stages):
            attacks = self._attacks(plan, stage)
            entered = outcome.stage == number
            next_job = _jobs(stage, labels, clean.ranking)
            work: Counter[int] = Counter()
            for variant, attack in enumerate(attacks):
                run = functools.partial(
                    self._stream(plan, stage, attack, variant).run,
                    images,
                    labels,
                    eps=eps,
                    seed=seed,
                    first=first,
                )
                where = np.flatnonzero(~outcome.fooled & entered)
                yield from _settled(
                    _last_runs(run, next_job, where),
                    outcome,
                    outcome.totals[number],
                    attack.passes,
                    work,
                    take,
                    last=variant == len(attacks) - 1,
                )

    def measure(
        self,
        plan: AttackPlan,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        eps: float,
        seed: int = 0,
    ) -> Outcome:
        """Runs a plan from nothing to its end; see `run`."""
        clean = self.clean(images, labels)
        outcome = self.begin(plan, labels, clean)
        for _ in self.run(
            plan, images, labels, clean, outcome, eps=eps, seed=seed
        ):
            pass
        return outcome

    def _stream(
        self, plan: AttackPlan, stage: Stage, attack: Attack, variant: int
    ) -> Stream:
        name = f"{stage.name}/{variant}" if variant else stage.name
        key = (attack, name, plan.norm)
        if key not in self._streams:
            self._streams[key] = Stream(
                attack,
                name,
                self._logits_fn,
                norm=plan.norm,
                batch_size=self.batch_size,
                jit_compile=self.jit_compile,
            )
        return self._streams[key]

    def _attacks(self, plan: AttackPlan, stage: Stage) -> Sequence[Attack]:
        """The attacks of a stage: one, or one for each generator."""
        if "generators" not in stage.row.takes:
            return [stage.build(plan, self._surrogate)]
        if not self._generators:
            raise UsageError(
                "The attack `generators` needs a run that was trained with "
                "generators (method=gan, or start) and kept them."
            )
        return self._generators


def _jobs(
    stage: Stage, labels: np.ndarray, ranking: np.ndarray
) -> Callable[[int, int], Job | None]:
    """Returns a function of image and attempt; None after the last."""
    attempts = max(stage.num_targets, 1) * stage.num_restarts

    def job(number: int, attempt: int) -> Job | None:
        if attempt == attempts:
            return None
        target = labels[number]
        if stage.num_targets:
            target = ranking[number, attempt // stage.num_restarts]
        return Job(number, attempt, int(target))

    return job


def _last_runs(
    run: Callable[..., Iterator[Finished]],
    next_job: Callable[[int, int], Job | None],
    where: np.ndarray,
) -> Iterator[tuple[Finished, int]]:
    """Yields each image's run that fooled, else the last; and its advances."""
    tried: Counter[int] = Counter()
    work: Counter[int] = Counter()

    def retry(done: Finished) -> Job | None:
        tried[done.number] += 1
        return next_job(done.number, tried[done.number])

    first = (next_job(int(number), 0) for number in where)
    for done in run(jobs=first, retry=retry, expected=len(where)):
        work[done.number] += done.work
        if done.fooled or next_job(done.number, tried[done.number]) is None:
            yield done, work[done.number]


def _settled(
    runs: Iterator[tuple[Finished, int]],
    outcome: Outcome,
    totals: StageTotals,
    passes: tuple[int, int],
    spent: Counter[int],
    take: Callable[[Finished], None],
    *,
    last: bool,
) -> Iterator[Finished]:
    """Settles verdicts as they come, and yields them.

    Args:
        runs: From `_last_runs`.
        outcome: What is settled.
        totals: What it took, which grows.
        passes: Of the attack, forward and backward, for each advance.
        spent: Advances of attacks of the stage so far, by image. They count
            once it is settled: one that is cut off before begins anew.
        take: See `AttackRunner.run`.
        last: Whether no other attack of the stage comes after this one.
    """
    started = time.monotonic()
    for done, work in runs:
        # Whoever takes it does more than the attack.
        taken = time.monotonic() - started
        take(done)
        with signals.held():
            spent[done.number] += work
            if done.fooled or last:
                totals.add(spent.pop(done.number), *passes)
            totals.seconds += taken
            outcome.settle(
                done.number,
                done.size,
                done.predicted if done.fooled else None,
                last=last,
            )
        yield done
        started = time.monotonic()


def _ranking(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the likeliest other classes, as many as any attack aims at."""
    others = logits.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    order = np.argsort(-others, axis=-1, kind="stable")
    ranks = min(most_targets(), logits.shape[-1] - 1)
    return order[:, :ranks].astype(np.int32)
