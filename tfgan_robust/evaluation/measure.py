"""Measures how many images a classifier gets right, clean and attacked."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from tfgan_robust.attacks.engine.outcome import (
    CleanPass,
    Outcome,
    pointwise_rows,
    summarize,
)
from tfgan_robust.attacks.engine.runner import AttackRunner
from tfgan_robust.attacks.generators import Perturbation
from tfgan_robust.attacks.plan import (
    CLEAN,
    AttackPlan,
    for_classes,
    parse_attack,
    transferred,
)
from tfgan_robust.classifiers.loading import Classifier
from tfgan_robust.classifiers.preflight import check_classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.smallest import NearestSearch
from tfgan_robust.reports.intervals import wilson
from tfgan_robust.reports.results import Evaluation, Result

if TYPE_CHECKING:
    from tfgan_robust.evaluation.store import EvaluationStore

# Told an attack's name, its eps, how much of it is done (images times
# stages), of how much, and the accuracy so far.
Progress = Callable[[str, float, int, int, float], None]


def evaluate_classifier(
    classifier: Classifier | keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    attacks: Sequence[str | AttackPlan] = ("fgsm", "pgd-100"),
    eps: Sequence[float] = (8 / 255,),
    batch_size: int = 128,
    seed: int = 0,
    jit_compile: str = "auto",
    surrogate: Classifier | None = None,
    generators: Sequence[tuple[keras.Model, Perturbation]] = (),
    allow_random: bool = False,
    progress: Progress | None = None,
    store: "EvaluationStore | None" = None,
) -> Evaluation:
    """Measures accuracy on clean images and under each attack at each eps.

    Args:
        classifier: What to attack; a Keras model answers with logits.
        images: uint8, or float32 in [0, 1], [n, height, width, channels].
        labels: Integer [n].
        attacks: Names, or plans from `attack_plan.parse_attack`.
        eps: Radii: in (0, 1] on the [0, 1] pixel scale, or Euclidean.
        batch_size: Images in a batch.
        seed: Seed of everything that is drawn.
        jit_compile: "auto", "true" or "false"; see
            `attacks.compile.resolve_jit_compile`.
        surrogate: Another classifier; PGD and FGSM are run with its
            gradients too, as `transfer-...`.
        generators: For the attack `generators`: trained generators and how
            they perturb.
        allow_random: Whether a classifier may answer differently each time.
        progress: Told of every image that is settled.
        store: Where results are kept; what it holds already is not repeated.

    Returns:
        The accuracies, without an audit; see `audit.audit`.

    Raises:
        UsageError: if images and classifier do not fit, an attack is unknown
            or an eps is out of range.
        TfganRobustError: if an attack left the ball or the pixel range.
    """
    if isinstance(classifier, keras.Model):
        classifier = Classifier.from_keras(classifier)
    plans = [
        for_classes(plan, classifier.num_classes)
        for plan in _plans(attacks, eps, surrogate)
    ]
    if batch_size < 1:
        raise UsageError(
            f"`batch_size` must be at least 1. Received: {batch_size}."
        )
    labels = np.asarray(labels)
    for network in (classifier, surrogate):
        if network is not None:
            check_classifier(
                network,
                images,
                labels,
                batch_size=batch_size,
                allow_random=allow_random,
            )
    runners = {
        transfer: AttackRunner(
            classifier,
            batch_size=min(batch_size, len(labels)),
            jit_compile=jit_compile,
            surrogate=surrogate.logits_fn if transfer and surrogate else None,
            generators=generators,
        )
        for transfer in (False, True)
    }
    measurement = _Measurement(
        runners,
        images,
        labels.astype(np.int64),
        Evaluation(
            classifier.description,
            len(labels),
            seed,
            runners[False].batch_size,
            runners[False].jit_compile,
            plans[0].norm if plans else "linf",
        ),
        progress,
        store,
    )
    return measurement.run(plans, eps)


class _Measurement:
    """One evaluation in the making."""

    def __init__(
        self,
        runners: Mapping[bool, AttackRunner],
        images: np.ndarray,
        labels: np.ndarray,
        evaluation: Evaluation,
        progress: Progress | None,
        store: "EvaluationStore | None",
    ) -> None:
        self._runners, self._images, self._labels = runners, images, labels
        self._evaluation = evaluation
        self._progress, self._store = progress, store
        self._nearest = NearestSearch(
            runners[False].classifier,
            images,
            labels,
            norm=evaluation.norm,
            batch_size=evaluation.batch_size,
            jit_compile=evaluation.jit_compile,
        )

    def run(
        self, plans: Sequence[AttackPlan], radii: Sequence[float]
    ) -> Evaluation:
        """Measures everything, and keeps what is done whatever happens."""
        evaluation = self._evaluation
        clean = self._look()
        if self._store is not None:
            evaluation.smallest = self._store.load_smallest()
        try:
            for plan in plans:
                for radius in radii:
                    self._attack(plan, float(radius), clean)
            evaluation.complete = True
        finally:
            self._save()
        return evaluation

    def _look(self) -> CleanPass:
        def told(done: int, right: int) -> None:
            if self._progress is not None:
                self._progress(
                    CLEAN, 0.0, done, len(self._labels), right / done
                )

        clean = self._runners[False].clean(self._images, self._labels, told)
        count = len(self._labels)
        correct = int(np.count_nonzero(clean.right))
        low, high = wilson(correct, count)
        self._evaluation.results.append(
            Result(
                attack=CLEAN, eps=0.0, norm=self._evaluation.norm,
                protocol="worst", num_images=count, num_correct=correct,
                accuracy=correct / count, accuracy_low=low,
                accuracy_high=high, largest_perturbation=0.0,
                forward_passes=1.0, backward_passes=0.0, seconds=0.0,
                image_steps_per_second=0.0,
            )
        )  # fmt: skip
        self._evaluation.masks[CLEAN, 0.0] = clean.right
        self._evaluation.predicted[CLEAN, 0.0] = clean.predicted
        return clean

    def _attack(self, plan: AttackPlan, eps: float, clean: CleanPass) -> None:
        """Measures one attack at one radius, or what is left of it."""
        runner, smallest = (
            self._runners[plan.transfer],
            self._evaluation.smallest,
        )
        outcome = runner.begin(plan, self._labels, clean)
        if self._store is not None:
            outcome = self._store.load(plan, eps) or outcome
        self._tell(plan, eps, outcome)
        try:
            for done in runner.run(
                plan, self._images, self._labels, clean, outcome,
                eps=eps, seed=self._evaluation.seed,
            ):  # fmt: skip
                if done.fooled and clean.right[done.number]:
                    self._nearest.add(plan.name, done, smallest)
                self._tell(plan, eps, outcome)
                if self._store is not None and self._store.is_due():
                    self._nearest.flush(smallest)
                    self._store.save(plan, eps, outcome, self._evaluation)
        finally:
            self._nearest.flush(smallest)
            if self._store is not None:
                self._store.save(plan, eps, outcome, self._evaluation)
        self._add(plan, eps, outcome)
        self._save()

    def _tell(self, plan: AttackPlan, eps: float, outcome: Outcome) -> None:
        if self._progress is not None:
            total = len(self._labels) * len(plan.stages)
            accuracy = float(outcome.right.mean())
            self._progress(plan.name, eps, outcome.stages_done, total, accuracy)

    def _add(self, plan: AttackPlan, eps: float, outcome: Outcome) -> None:
        evaluation = self._evaluation
        evaluation.results.append(summarize(plan, eps, outcome))
        evaluation.masks[plan.name, eps] = outcome.right
        evaluation.predicted[plan.name, eps] = outcome.predicted
        evaluation.pointwise = pointwise_rows(evaluation)

    def _save(self) -> None:
        if self._store is not None:
            self._store.write(self._evaluation, self._images, self._labels)


def _plans(
    attacks: Sequence[str | AttackPlan],
    eps: Sequence[float],
    surrogate: Classifier | None,
) -> list[AttackPlan]:
    plans = [parse_attack(a) if isinstance(a, str) else a for a in attacks]
    if surrogate is not None:
        moved = [transferred(plan) for plan in plans]
        plans += [plan for plan in moved if plan is not None]
        if not any(plan.transfer for plan in plans):
            raise UsageError(
                "Only fgsm and pgd can be transferred. Received: "
                f"{', '.join(plan.name for plan in plans)}."
            )
    if len({plan.norm for plan in plans}) > 1:
        raise UsageError("All attacks of an evaluation share one norm.")
    names = [plan.name for plan in plans]
    if len(set(names)) < len(names):
        raise UsageError(
            f"Each attack can be given once. Received: {', '.join(names)}."
        )
    for radius in eps:
        limit = 1.0 if not plans or plans[0].norm == "linf" else float("inf")
        if not 0 < radius <= limit or radius == float("inf"):
            raise UsageError(
                "`eps` must be in (0, 1], on the [0, 1] pixel scale (for "
                "norm=l2: positive). "
                f"Received: eps={radius:g}."
            )
    return plans
