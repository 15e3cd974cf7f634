"""What an attack did to each image, and what that sums up to.

Needs no TensorFlow.
"""

import dataclasses

import numpy as np

from tfgan_robust.attacks.plan import CLEAN, AttackPlan
from tfgan_robust.reports.numbers import wilson
from tfgan_robust.reports.results import (
    Evaluation,
    Pointwise,
    Result,
    StageResult,
)


@dataclasses.dataclass(frozen=True)
class CleanPass:
    """What a classifier says of the clean images.

    Attributes:
        predicted: int64 [n].
        right: bool [n].
        ranking: int16 [n, k], the classes but the labelled one, most likely
            first: the targets of targeted attacks.
    """

    predicted: np.ndarray
    right: np.ndarray
    ranking: np.ndarray


@dataclasses.dataclass
class StageTotals:
    """What one stage of a plan did so far, on all images together."""

    steps: int = 0
    forward_passes: int = 0
    backward_passes: int = 0
    seconds: float = 0.0

    def add(self, steps: int, forward: int, backward: int) -> None:
        """Adds one image's steps, at so many passes each."""
        self.steps += steps
        self.forward_passes += steps * forward
        self.backward_passes += steps * backward


@dataclasses.dataclass
class Outcome:
    """What a plan did to each image at one radius, so far.

    Attributes:
        fooled: bool [n], clean errors included where they count.
        predicted: int16 [n], the class under attack; the label where the
            attack found none.
        survived: int16 [n], stages that did not fool the image; -1 for
            clean errors, which none of them attacks.
        size: float32 [n], norm of the perturbation that fools, else NaN.
        largest_perturbation: Of all attacked images.
        totals: For each stage.
    """

    fooled: np.ndarray
    predicted: np.ndarray
    survived: np.ndarray
    size: np.ndarray
    totals: list[StageTotals]
    largest_perturbation: float = 0.0

    @property
    def right(self) -> np.ndarray:
        """Images that nothing fooled, bool [n]."""
        return ~self.fooled

    @property
    def forward_passes(self) -> float:
        """Mean for each image."""
        return self._mean("forward_passes")

    @property
    def backward_passes(self) -> float:
        """Mean for each image."""
        return self._mean("backward_passes")

    @property
    def stages_done(self) -> int:
        """Pairs of an image and a stage that are settled, for progress."""
        rest = np.where(self.fooled, len(self.totals), self.survived)
        return int(rest.sum())

    def settle(
        self, number: int, size: float, predicted: int | None, *, last: bool
    ) -> None:
        """Notes the end of a run.

        Args:
            number: Which image.
            size: Norm of its perturbation.
            predicted: The class that it is taken for now; None if it is not
                fooled.
            last: Whether no other run of this stage follows.
        """
        self.largest_perturbation = max(self.largest_perturbation, size)
        if predicted is not None:
            self.fooled[number] = True
            self.predicted[number] = predicted
            self.size[number] = size
        elif last:
            self.survived[number] += 1

    def _mean(self, name: str) -> float:
        return sum(getattr(t, name) for t in self.totals) / len(self.fooled)


def summarize(plan: AttackPlan, eps: float, outcome: Outcome) -> Result:
    """Returns a plan's accuracy at a radius, and what it took."""
    count, correct = len(outcome.fooled), int(outcome.right.sum())
    low, high = wilson(correct, count)
    seconds = sum(t.seconds for t in outcome.totals)
    steps = sum(t.steps for t in outcome.totals)
    return Result(
        attack=plan.name,
        eps=eps,
        norm=plan.norm,
        protocol=plan.protocol,
        num_images=count,
        num_correct=correct,
        accuracy=correct / count,
        accuracy_low=low,
        accuracy_high=high,
        largest_perturbation=outcome.largest_perturbation,
        forward_passes=outcome.forward_passes,
        backward_passes=outcome.backward_passes,
        seconds=seconds,
        image_steps_per_second=steps / max(seconds, 1e-9),
        stages=tuple(_stages(plan, eps, outcome)),
    )


def _stages(
    plan: AttackPlan, eps: float, outcome: Outcome
) -> list[StageResult]:
    results = []
    for number, stage in enumerate(plan.stages):
        totals = outcome.totals[number]
        attacked = outcome.survived >= number
        count = int(np.count_nonzero(attacked))
        left = int(np.count_nonzero(outcome.survived > number))
        results.append(
            StageResult(
                name=stage.name,
                num_images=count,
                num_correct=left,
                num_steps=stage.num_steps,
                loss=stage.loss,
                num_targets=stage.num_targets,
                step_size=stage.resolved_step_size(eps),
                random_start=stage.random_start,
                num_restarts=stage.num_restarts,
                momentum=stage.momentum,
                forward_passes=totals.forward_passes / max(count, 1),
                backward_passes=totals.backward_passes / max(count, 1),
                seconds=totals.seconds,
            )
        )
    return results


def pointwise_rows(evaluation: Evaluation) -> list[Pointwise]:
    """Returns, for each radius, what survived it and all smaller ones."""
    radii = sorted({r.eps for r in evaluation.results if r.attack != CLEAN})
    rows = []
    for radius in radii:
        masks = [
            mask for (_, eps), mask in evaluation.masks.items() if eps <= radius
        ]
        right = np.logical_and.reduce(masks)
        correct = int(np.count_nonzero(right))
        low, high = wilson(correct, len(right))
        names = tuple(
            r.attack
            for r in evaluation.results
            if r.attack != CLEAN and r.eps == radius
        )
        rows.append(
            Pointwise(
                eps=radius,
                attacks=names,
                num_images=len(right),
                num_correct=correct,
                accuracy=correct / len(right),
                accuracy_low=low,
                accuracy_high=high,
            )
        )
    return rows
