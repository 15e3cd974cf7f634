"""Measures how many images a classifier gets right, clean and attacked."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgan_robust import data
from tfgan_robust.attack_plan import CLEAN, AttackPlan
from tfgan_robust.attacks.compile import compile_attack, resolve_jit_compile
from tfgan_robust.attacks.fgsm import fgsm
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.attacks.result import AttackResult
from tfgan_robust.attacks.result import is_fooled as misclassified
from tfgan_robust.classifiers import Classifier
from tfgan_robust.data import Split
from tfgan_robust.errors import TfganRobustError, UsageError

# Apart from the seeds of training, which count steps from 0.
_STREAM = 2**30
# Rounding of the ball's border in float32.
_BALL_TOLERANCE = 1e-6

# Told an attack's name, its eps, and the images done, right and in all.
Progress = Callable[[str, float, int, int, int], None]


@dataclasses.dataclass(frozen=True)
class Result:
    """One accuracy, with everything that it depends on.

    Attributes:
        attack: "clean", "fgsm" or "pgd-<steps>".
        eps: L-infinity radius on the [0, 1] pixel scale.
        num_steps: Gradient steps of a restart.
        step_size: On the [0, 1] pixel scale.
        random_start: Whether a restart begins at a random point.
        num_restarts: Independent runs.
        protocol: "final" or "worst".
        num_images: Images measured.
        num_correct: Images right under this attack.
        accuracy: Their share.
        largest_perturbation: Largest change of a pixel, at most eps.
        seconds: Wall time, compilation included.
        image_steps_per_second: Images times steps times restarts in it.
    """

    attack: str
    eps: float
    num_steps: int
    step_size: float
    random_start: bool
    num_restarts: int
    protocol: str
    num_images: int
    num_correct: int
    accuracy: float
    largest_perturbation: float
    seconds: float
    image_steps_per_second: float


@dataclasses.dataclass
class Evaluation:
    """All accuracies of one classifier.

    Attributes:
        classifier: One line on the classifier.
        results: Clean first, then each attack at each eps.
        seed: Seed of the random starts.
        batch_size: Images in a batch.
        jit_compile: Whether XLA compiled the attacks.
        complete: False if it was interrupted.
    """

    classifier: str
    results: list[Result]
    seed: int
    batch_size: int
    jit_compile: bool
    complete: bool = False

    def accuracy(self, attack: str, eps: float = 0.0) -> float:
        """Returns one accuracy, as a share of 1.

        Raises:
            UsageError: if it was not measured.
        """
        for result in self.results:
            if result.attack == attack and abs(result.eps - eps) < 1e-9:
                return result.accuracy
        raise UsageError(f"{attack} at eps={eps:g} was not measured.")

    def to_json(self) -> dict[str, Any]:
        """Returns everything as JSON values."""
        return dataclasses.asdict(self)


def evaluate_classifier(
    classifier: Classifier,
    split: Split,
    *,
    attacks: Sequence[AttackPlan],
    eps: Sequence[float],
    batch_size: int = 128,
    seed: int = 0,
    jit_compile: str = "auto",
    progress: Progress | None = None,
    on_result: Callable[[Evaluation], None] | None = None,
) -> Evaluation:
    """Measures accuracy on clean images and under each attack at each eps.

    Args:
        classifier: What to attack.
        split: The images, of the classifier's shape.
        attacks: From `attack_plan.parse_attack`.
        eps: L-infinity radii on the [0, 1] pixel scale.
        batch_size: Images in a batch; the last one is padded and masked.
        seed: Seed of the random starts.
        jit_compile: "auto", "true" or "false"; see
            `attacks.compile.resolve_jit_compile`.
        progress: Told after each batch.
        on_result: Told of the evaluation so far after each result.

    Returns:
        The accuracies.

    Raises:
        UsageError: if images and classifier do not fit, or an eps is not in
            (0, 1].
        TfganRobustError: if an attack left the ball or the pixel range.
    """
    _check_images(classifier, split)
    if batch_size < 1:
        raise UsageError(
            f"`batch_size` must be at least 1. Received: {batch_size}."
        )
    for radius in eps:
        if not 0 < radius <= 1:
            raise UsageError(
                "`eps` must be in (0, 1], on the [0, 1] pixel scale. "
                f"Received: eps={radius:g}."
            )
    use_xla = resolve_jit_compile(jit_compile)
    evaluation = Evaluation(
        classifier.description, [], seed, batch_size, use_xla
    )
    batches = data.evaluation_batches(split, batch_size=batch_size)
    measure = _Measurement(batches, len(split.labels), seed, progress)
    for result in _all_results(classifier, measure, attacks, eps, use_xla):
        evaluation.results.append(result)
        if on_result is not None:
            on_result(evaluation)
    evaluation.complete = True
    if on_result is not None:
        on_result(evaluation)
    return evaluation


def _all_results(
    classifier: Classifier,
    measure: "_Measurement",
    attacks: Sequence[AttackPlan],
    eps: Sequence[float],
    jit_compile: bool,
) -> Iterator[Result]:
    no_attack = AttackPlan(CLEAN, num_steps=0)
    yield measure(no_attack, 0.0, _clean(classifier, jit_compile))
    for plan in attacks:
        compiled = _compile(plan, classifier, jit_compile)
        for radius in eps:
            yield measure(plan, float(radius), compiled)


@dataclasses.dataclass(frozen=True)
class _Measurement:
    """Runs attacks over the same batches."""

    batches: tf.data.Dataset
    num_images: int
    seed: int
    progress: Progress | None

    def __call__(
        self, plan: AttackPlan, eps: float, attack: Callable[..., AttackResult]
    ) -> Result:
        start = time.monotonic()
        correct, done, largest = 0, 0, 0.0
        for index, (images, labels, mask) in enumerate(self.batches):
            attacked, fooled = attack(
                images, labels, eps, (self.seed, _STREAM + index)
            )
            change = _largest_change(plan, attacked, images, eps)
            largest = max(largest, change)
            inside = tf.cast(mask, tf.bool)
            right = tf.logical_and(inside, tf.logical_not(fooled))
            correct += int(tf.math.count_nonzero(right))
            done += int(tf.math.count_nonzero(inside))
            if self.progress is not None:
                self.progress(plan.name, eps, done, correct, self.num_images)
        seconds = time.monotonic() - start
        work = self.num_images * plan.num_steps * plan.num_restarts
        return Result(
            attack=plan.name,
            eps=eps,
            num_steps=plan.num_steps,
            step_size=plan.resolved_step_size(eps) if plan.num_steps else 0.0,
            random_start=plan.random_start,
            num_restarts=plan.num_restarts,
            protocol=plan.protocol,
            num_images=self.num_images,
            num_correct=correct,
            accuracy=correct / self.num_images,
            largest_perturbation=largest,
            seconds=seconds,
            image_steps_per_second=work / max(seconds, 1e-9),
        )


def _compile(
    plan: AttackPlan, classifier: Classifier, jit_compile: bool
) -> Callable[..., AttackResult]:
    """Binds a plan; eps and seed stay open."""
    if plan.name == "fgsm":
        attack = compile_attack(
            fgsm,
            classifier.logits_fn,
            jit_compile=jit_compile,
            protocol=plan.protocol,
        )
        return lambda images, labels, eps, _: attack(images, labels, eps=eps)
    attack = compile_attack(
        pgd,
        classifier.logits_fn,
        jit_compile=jit_compile,
        random_start=plan.random_start,
        num_restarts=plan.num_restarts,
        protocol=plan.protocol,
    )
    return lambda images, labels, eps, seed: attack(
        images,
        labels,
        eps=eps,
        num_steps=plan.num_steps,
        step_size=plan.resolved_step_size(eps),
        seed=seed,
    )


def _clean(
    classifier: Classifier, jit_compile: bool
) -> Callable[..., AttackResult]:
    @tf.function(jit_compile=jit_compile, autograph=False)
    def look(images: tf.Tensor, labels: tf.Tensor) -> AttackResult:
        logits = classifier.logits_fn(images)
        return AttackResult(images, misclassified(logits, labels))

    return lambda images, labels, *_: look(images, labels)


def _largest_change(
    plan: AttackPlan, attacked: tf.Tensor, images: tf.Tensor, eps: float
) -> float:
    change = float(tf.reduce_max(tf.abs(attacked - images)))
    low, high = float(tf.reduce_min(attacked)), float(tf.reduce_max(attacked))
    # Written so that NaN fails too.
    if not (change <= eps + _BALL_TOLERANCE and low >= 0 and high <= 1):
        raise TfganRobustError(
            f"{plan.name} left its bounds: largest change {change:.6g} at "
            f"eps={eps:.6g}, pixels in [{low:.6g}, {high:.6g}]."
        )
    return change


def _check_images(classifier: Classifier, split: Split) -> None:
    if len(split.labels) == 0:
        raise UsageError("There are no images to measure.")
    if split.images.dtype != np.uint8:
        raise UsageError(
            f"Images are uint8, from 0 to 255. Received: {split.images.dtype}."
        )
    if tuple(split.images.shape[1:]) != tuple(classifier.image_shape):
        raise UsageError(
            f"The classifier takes images of {classifier.image_shape}. "
            f"Received: images of {tuple(split.images.shape[1:])}; "
            "--image_size resizes them."
        )
    lowest, highest = int(split.labels.min()), int(split.labels.max())
    if highest >= classifier.num_classes or lowest < 0:
        raise UsageError(
            f"The classifier knows {classifier.num_classes} classes. "
            f"Received: labels from {lowest} to {highest}."
        )
