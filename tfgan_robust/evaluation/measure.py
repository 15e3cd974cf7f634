"""Measures a classifier's accuracy on clean and on attacked images."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from tfgan_robust.attacks.compile import resolve_jit_compile
from tfgan_robust.attacks.engine.execution import GRADIENT_PRECISIONS, Execution
from tfgan_robust.attacks.engine.outcome import CleanPass, Outcome
from tfgan_robust.attacks.engine.runner import AttackRunner
from tfgan_robust.attacks.engine.slots import Finished
from tfgan_robust.attacks.generators import (
    GeneratorAttack,
    LearnedStep,
    Perturbation,
)
from tfgan_robust.attacks.plan import CLEAN, AttackPlan
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.preflight import check_classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.levels import StoredImages
from tfgan_robust.evaluation.networks import EvaluationNetworks
from tfgan_robust.evaluation.options import DEFAULT_ATTACKS
from tfgan_robust.evaluation.radii import DEFAULT_EPS
from tfgan_robust.evaluation.shards import Shard
from tfgan_robust.evaluation.smallest import SmallestSearch
from tfgan_robust.evaluation.store import EvaluationStore
from tfgan_robust.evaluation.summary import (
    clean_result,
    pointwise_rows,
    summarize,
)
from tfgan_robust.networks.devices import full_float32
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.reports.numbers import check_radii
from tfgan_robust.reports.results import Evaluation
from tfgan_robust.reports.tables import format_report

# Called with an attack's name, its eps, how much of it is done (images times
# stages), of how much, and the accuracy so far.
Progress = Callable[[str, float, int, int, float], None]


class MeasuredEvaluation(Evaluation):
    """An `Evaluation` that shows itself."""

    def table(self) -> str:
        """Returns accuracies, conditions and audit as text."""
        return format_report({self.classifier: self})


# A verdict that hangs on a rounding to a thousandth is another elsewhere.
@full_float32()
def evaluate_classifier(
    classifier: Classifier | keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    attacks: Sequence[str | AttackPlan] = DEFAULT_ATTACKS,
    eps: Sequence[float] = DEFAULT_EPS,
    batch_size: int = Execution.batch_size,
    seed: int = Execution.seed,
    jit_compile: str = Execution.jit_compile,
    gradient_precision: str = GRADIENT_PRECISIONS[0],
    surrogate: Classifier | None = None,
    generators: Sequence[tuple[keras.Model, Perturbation | LearnedStep]] = (),
    allow_random: bool = False,
    shard: Shard | None = None,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
    store: EvaluationStore | None = None,
) -> MeasuredEvaluation:
    """Measures accuracy on clean images and under each attack at each eps.

    Args:
        classifier: What to attack; a Keras model answers with logits.
        images: uint8, or float32 in [0, 1], [n, height, width, channels].
        labels: Integer [n].
        attacks: Names, or plans from `attacks.plan.parse_attack`.
        eps: Radii: in (0, 1] on the [0, 1] pixel scale, or Euclidean.
        batch_size: Images in a batch.
        seed: Seed of everything that is drawn.
        jit_compile: "auto", "true" or "false"; see
            `attacks.compile.resolve_jit_compile`.
        gradient_precision: One of `execution.GRADIENT_PRECISIONS`; each
            verdict is the float32 network's.
        surrogate: Another classifier; PGD and FGSM are run with its
            gradients too, as `transfer-...`.
        generators: For the attack `generators`: trained generators and how
            they perturb.
        allow_random: Whether a classifier may answer differently each time.
        shard: The part of the images that is measured, as it would be if all
            of them were; None for all.
        notes: What a reader of the figures must know of the images, a line
            each.
        progress: Called with every image that is settled.
        store: Where results are kept; what it holds already is not repeated.

    Returns:
        The accuracies, without an audit; see `audit.audit`.

    Raises:
        UsageError: if images and classifier do not fit, an attack is unknown
            or an eps is out of range.
        TfganRobustError: if an attack left the ball or the pixel range.

    Example:
        >>> import keras
        >>> import tfgan_robust as tr
        >>> _, test = tr.load_test("digits")
        >>> layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
        >>> model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
        >>> images, labels = test.images[:64], test.labels[:64]
        >>> result = evaluate_classifier(
        ...     model, images, labels, attacks=["fgsm"], eps=[0.1]
        ... )
        >>> result.accuracy("fgsm", 0.1) <= result.accuracy("clean")
        True
    """
    if isinstance(classifier, keras.Model):
        classifier = Classifier.from_keras(classifier)
    networks = EvaluationNetworks(classifier, surrogate, generators=generators)
    plans = networks.plans(_listed("attacks", attacks, "autoattack"))
    radii = [float(radius) for radius in _listed("eps", eps, "8 / 255")]
    check_radii(radii, plans[0].norm if plans else "linf")
    execution = Execution(batch_size, seed, jit_compile)
    labels = np.asarray(labels)
    told = _check(
        networks,
        images,
        labels,
        batch_size=batch_size,
        allow_random=allow_random,
        jit_compile=resolve_jit_compile(jit_compile),
    )
    if gradient_precision != GRADIENT_PRECISIONS[0]:
        told.append(f"attacks followed gradients in {gradient_precision}")
    part = slice(0, len(labels)) if shard is None else shard.images(len(labels))
    measurement = _Measurement(
        networks,
        classifier.followed_in(gradient_precision),
        images[part],
        labels[part].astype(np.int64),
        part.start,
        plans,
        execution.for_images(len(labels)),
        progress or (lambda *_: None),
        store or EvaluationStore(None, {}, {}),
        [*classifier.notes, *notes, *told],
    )
    return measurement.run(radii)


def _check(
    networks: EvaluationNetworks,
    images: np.ndarray,
    labels: np.ndarray,
    **settings: Any,
) -> list[str]:
    """Checks the classifier and the surrogate, which is named."""
    told = []
    for network in filter(None, (networks.classifier, networks.surrogate)):
        whose = ""
        if network is networks.surrogate:
            whose = f"{network.description}: "
        try:
            notes = check_classifier(network, images, labels, **settings)
        except UsageError as error:
            raise UsageError(f"{whose}{error}") from None
        told += [f"{whose}{note}" for note in notes]
    return told


def _listed(name: str, values: Any, example: str) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UsageError(
            f"`{name}` is a list, such as [{example}]. Received: {values!r}."
        )
    return list(values)


class _Measurement:
    """One evaluation in the making."""

    def __init__(
        self,
        networks: EvaluationNetworks,
        logits_fn: LogitsFn,
        images: np.ndarray,
        labels: np.ndarray,
        first: int,
        plans: Sequence[AttackPlan],
        execution: Execution,
        progress: Progress,
        store: EvaluationStore,
        notes: list[str],
    ) -> None:
        self._images, self._labels, self._first = images, labels, first
        self._plans = plans
        self._execution, self._progress = execution, progress
        self._store = store
        classifier = networks.classifier
        followed = {False: None, True: networks.surrogate}
        self._runners = {
            transfer: AttackRunner(
                logits_fn,
                classifier.num_classes,
                batch_size=execution.batch_size,
                jit_compile=execution.jit_compile,
                surrogate=other.logits_fn if other else None,
                generators=[
                    GeneratorAttack(*each) for each in networks.generators
                ],
            )
            for transfer, other in followed.items()
        }
        for plan in plans:
            self._runners[plan.transfer].check(plan)
        self._evaluation = MeasuredEvaluation(
            classifier.description,
            len(labels),
            execution.seed,
            execution.batch_size,
            resolve_jit_compile(execution.jit_compile),
            plans[0].norm if plans else "linf",
            notes=notes,
            smallest=store.smallest,
        )
        # Radii of other norms say nothing of levels.
        self._levels = None
        self._stored: dict[tuple[str, float], np.ndarray] = {}
        if images.dtype == np.uint8 and self._evaluation.norm == "linf":
            self._levels = StoredImages(
                classifier.logits_fn, images, labels, execution=execution
            )
        self._smallest = SmallestSearch(
            classifier.logits_fn,
            images,
            labels,
            norm=self._evaluation.norm,
            execution=execution,
            kept=store.smallest,
        )

    def run(self, radii: Sequence[float]) -> MeasuredEvaluation:
        """Measures everything, and keeps what is done whatever happens."""
        clean = self._classify()
        try:
            for plan in self._plans:
                for radius in radii:
                    self._attack(plan, radius, clean)
            self._evaluation.complete = True
        finally:
            self._write()
        return self._evaluation

    def _classify(self) -> CleanPass:
        """Measures the clean images."""
        count, evaluation = len(self._labels), self._evaluation

        def progress(done: int, correct: int) -> None:
            self._progress(CLEAN, 0.0, done, count, correct / done)

        clean = self._store.load_clean()
        if clean is None:
            clean = self._runners[False].clean(
                self._images, self._labels, progress
            )
            self._store.save_clean(clean)
        else:
            progress(count, int(np.count_nonzero(clean.correct)))
        evaluation.results.append(clean_result(evaluation.norm, clean))
        evaluation.masks[CLEAN, 0.0] = clean.correct
        self._stored[CLEAN, 0.0] = clean.correct
        evaluation.predicted[CLEAN, 0.0] = clean.predicted
        return clean

    def _attack(self, plan: AttackPlan, eps: float, clean: CleanPass) -> None:
        """Measures one attack at one radius, or what is left of it."""
        runner, evaluation = self._runners[plan.transfer], self._evaluation
        outcome = self._store.load(plan, eps)
        if outcome is None:
            outcome = runner.begin(plan, self._labels, clean)
        self._show(plan, eps, outcome)

        def take(done: Finished) -> None:
            if done.fooled and self._levels is not None:
                self._levels.add(outcome, eps, done)
            if done.fooled and clean.correct[done.number]:
                self._smallest.add(plan.name, done)

        try:
            for _ in runner.run(
                plan, self._images, self._labels, clean, outcome,
                eps=eps, seed=self._execution.seed, first=self._first,
                take=take,
            ):  # fmt: skip
                self._show(plan, eps, outcome)
                if self._store.is_due():
                    self._keep(plan, eps, outcome)
        finally:
            self._keep(plan, eps, outcome)
        evaluation.results.append(summarize(plan, eps, outcome))
        evaluation.masks[plan.name, eps] = outcome.correct
        evaluation.predicted[plan.name, eps] = outcome.predicted
        evaluation.pointwise = pointwise_rows(evaluation.masks)
        if self._levels is not None:
            self._stored[plan.name, eps] = ~outcome.stored
            evaluation.stored = pointwise_rows(self._stored)
        self._write()

    def _show(self, plan: AttackPlan, eps: float, outcome: Outcome) -> None:
        total = len(self._labels) * len(plan.stages)
        accuracy = float(outcome.correct.mean())
        self._progress(plan.name, eps, outcome.stages_done, total, accuracy)

    def _keep(self, plan: AttackPlan, eps: float, outcome: Outcome) -> None:
        """Keeps what is needed to go on from here."""
        self._smallest.flush()
        if self._levels is not None:
            self._levels.flush()
        self._store.save(plan, eps, outcome)

    def _write(self) -> None:
        self._store.write(self._evaluation, self._images, self._labels)
