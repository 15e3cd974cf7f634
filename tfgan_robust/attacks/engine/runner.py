"""Runs attack plans on a classifier: who is still right, and at what cost."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.apgd import APGD
from tfgan_robust.attacks.compile import resolve_jit_compile
from tfgan_robust.attacks.engine.outcome import CleanPass, Outcome, StageTotals
from tfgan_robust.attacks.engine.stream import Finished, Job, Stream
from tfgan_robust.attacks.fab import FAB
from tfgan_robust.attacks.generators import GeneratorAttack, Perturbation
from tfgan_robust.attacks.iterative import Attack
from tfgan_robust.attacks.noise import Noise
from tfgan_robust.attacks.pgd import PGD
from tfgan_robust.attacks.plan import AttackPlan, Stage, for_classes
from tfgan_robust.attacks.square import Square
from tfgan_robust.classifiers.loading import Classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn, as_floats

# No attack aims at more classes.
_MOST_TARGETS = 9


class _Inputs(NamedTuple):
    """What a plan is run on."""

    plan: AttackPlan
    images: np.ndarray
    labels: np.ndarray
    clean: CleanPass
    eps: float
    seed: int


class AttackRunner:
    """Runs plans on one classifier; each attack is compiled once.

    Args:
        classifier: What is attacked.
        batch_size: Images in a batch.
        jit_compile: "auto", "true" or "false"; see
            `attacks.compile.resolve_jit_compile`.
        surrogate: Whose gradients PGD and FGSM follow; None for the
            classifier's own.
        generators: Of the attack of that name, and how they perturb.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        batch_size: int = 128,
        jit_compile: str = "auto",
        surrogate: LogitsFn | None = None,
        generators: Sequence[tuple[keras.Model, Perturbation]] = (),
    ) -> None:
        self.classifier = classifier
        self.batch_size = batch_size
        self.jit_compile = resolve_jit_compile(jit_compile)
        self._surrogate = surrogate
        self._generators = generators
        self._streams: dict[tuple[Attack, str, str], Stream] = {}
        self._look = tf.function(
            classifier.logits_fn,
            jit_compile=self.jit_compile,
            autograph=False,
        )

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
            progress: Told how many images are done and right.
        """
        ranks = min(_MOST_TARGETS, self.classifier.num_classes - 1)
        predicted, rankings, right = [], [], 0
        for start in range(0, len(labels), self.batch_size):
            part = slice(start, start + self.batch_size)
            batch, truth = as_floats(images[part]), labels[part]
            padded = np.resize(batch, (self.batch_size, *batch.shape[1:]))
            logits = self._look(tf.constant(padded)).numpy()[: len(truth)]
            broken = np.isnan(logits).any(axis=-1)
            guess = np.where(broken, -1, logits.argmax(axis=-1))
            predicted.append(guess)
            others = logits.copy()
            others[np.arange(len(truth)), truth] = -np.inf
            order = np.argsort(-others, axis=-1, kind="stable")
            rankings.append(order[:, :ranks].astype(np.int16))
            right += int(np.count_nonzero(guess == truth))
            if progress is not None:
                progress(start + len(truth), right)
        found = np.concatenate(predicted)
        return CleanPass(found, found == labels, np.concatenate(rankings))

    def begin(
        self, plan: AttackPlan, labels: np.ndarray, clean: CleanPass
    ) -> Outcome:
        """Returns the outcome before any attack."""
        wrong = ~clean.right & (plan.protocol == "worst")
        return Outcome(
            fooled=wrong,
            predicted=np.where(wrong, clean.predicted, labels).astype(np.int16),
            survived=np.where(wrong, -1, 0).astype(np.int16),
            size=np.where(wrong, 0, np.nan).astype(np.float32),
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

        Yields:
            What was just settled.

        Raises:
            UsageError: if there is no generator to attack with.
            TfganRobustError: if an attack left the ball or the pixel range.
        """
        plan = for_classes(plan, self.classifier.num_classes)
        inputs = _Inputs(plan, images, labels, clean, eps, seed)
        for number, stage in enumerate(plan.stages):
            attacks = self._attacks(plan, stage)
            entered = outcome.survived == number
            for variant, attack in enumerate(attacks):
                started = time.monotonic()
                totals = outcome.totals[number]
                for done in self._run_stage(
                    inputs,
                    stage,
                    attack,
                    variant,
                    np.flatnonzero(~outcome.fooled & entered),
                    totals,
                ):
                    now = time.monotonic()
                    totals.seconds += now - started
                    outcome.settle(
                        done.number,
                        done.size,
                        done.predicted if done.fooled else None,
                        last=variant == len(attacks) - 1,
                    )
                    yield done
                    started = time.monotonic()

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

    def _run_stage(
        self,
        inputs: "_Inputs",
        stage: Stage,
        attack: Attack,
        variant: int,
        standing: np.ndarray,
        totals: StageTotals,
    ) -> Iterator[Finished]:
        """Yields each image's last run: the one that fooled, or the last."""
        labels, ranking = inputs.labels, inputs.clean.ranking
        attempts = max(stage.num_targets, 1) * stage.num_restarts

        def job(number: int, attempt: int) -> Job:
            target = labels[number]
            if stage.num_targets:
                target = ranking[number, attempt // stage.num_restarts]
            return Job(number, attempt, int(target))

        tried = np.zeros(len(labels), np.int64)
        work = np.zeros(len(labels), np.int64)

        def retry(done: Finished) -> Job | None:
            tried[done.number] += 1
            attempt = int(tried[done.number])
            return job(done.number, attempt) if attempt < attempts else None

        for done in self._stream(inputs.plan, stage, attack, variant).run(
            inputs.images,
            labels,
            (job(int(number), 0) for number in standing),
            retry,
            eps=inputs.eps,
            seed=inputs.seed,
            expected=len(standing),
        ):
            work[done.number] += done.work
            if done.fooled or tried[done.number] >= attempts:
                # Counted at the end: a run that is cut off begins anew.
                totals.add(int(work[done.number]), *attack.passes)
                yield done

    def _stream(
        self, plan: AttackPlan, stage: Stage, attack: Attack, variant: int
    ) -> Stream:
        name = f"{stage.name}/{variant}" if variant else stage.name
        key = (attack, name, plan.norm)
        if key not in self._streams:
            self._streams[key] = Stream(
                attack,
                name,
                self.classifier.logits_fn,
                norm=plan.norm,
                batch_size=self.batch_size,
                jit_compile=self.jit_compile,
            )
        return self._streams[key]

    def _attacks(self, plan: AttackPlan, stage: Stage) -> Sequence[Attack]:
        """The attacks of a stage: one, or one for each generator."""
        targeted = stage.num_targets > 0
        if stage.method == "generator":
            if not self._generators:
                raise UsageError(
                    "The attack `generators` needs a run that was trained "
                    "with method=gan and kept its generators."
                )
            return [GeneratorAttack(*g) for g in self._generators]
        if stage.method == "pgd":
            return [
                PGD(
                    stage.num_steps,
                    stage.step_size,
                    stage.step_ratio,
                    stage.loss,
                    targeted, plan.norm, stage.momentum, stage.random_start,
                    plan.protocol, self._surrogate,
                )
            ]  # fmt: skip
        if stage.method == "apgd":
            return [APGD(stage.num_steps, stage.loss, targeted)]
        if stage.method == "fab":
            return [FAB(stage.num_steps)]
        if stage.method == "square":
            return [Square(stage.num_steps, stage.rescaled)]
        return [Noise(plan.norm)]


def run_plan(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    plan: AttackPlan,
    eps: float,
    *,
    seed: int = 0,
    batch_size: int = 128,
    jit_compile: str = "auto",
    surrogate: LogitsFn | None = None,
) -> Outcome:
    """Runs one plan at one radius, from nothing to its end.

    See `AttackRunner` and its `run` for the arguments and what is raised.
    """
    runner = AttackRunner(
        classifier,
        batch_size=min(batch_size, len(labels)),
        jit_compile=jit_compile,
        surrogate=surrogate,
    )
    return runner.measure(plan, images, labels, eps=eps, seed=seed)
