"""What attacks did to single images, summed up; needs no TensorFlow."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfgan_robust.attacks.engine.outcome import CleanPass, Outcome
from tfgan_robust.attacks.plan import CLEAN, AttackPlan
from tfgan_robust.reports.results import (
    Pointwise,
    Result,
    StageResult,
    accuracy_fields,
)


def clean_result(norm: str, clean: CleanPass) -> Result:
    """Returns the accuracy on clean images."""
    return Result(
        attack=CLEAN,
        eps=0.0,
        norm=norm,
        protocol="worst",
        **_accuracy(clean.correct),
        largest_perturbation=0.0,
        forward_passes=1.0,
        backward_passes=0.0,
        seconds=0.0,
        image_steps_per_second=0.0,
    )


def summarize(plan: AttackPlan, eps: float, outcome: Outcome) -> Result:
    """Returns a plan's accuracy at a radius, and what it took."""
    seconds = sum(t.seconds for t in outcome.totals)
    steps = sum(t.steps for t in outcome.totals)
    return Result(
        attack=plan.name,
        eps=eps,
        norm=plan.norm,
        protocol=plan.protocol,
        **_accuracy(outcome.correct),
        largest_perturbation=outcome.largest_perturbation,
        forward_passes=outcome.mean("forward_passes"),
        backward_passes=outcome.mean("backward_passes"),
        seconds=seconds,
        image_steps_per_second=steps / max(seconds, 1e-9),
        stages=tuple(_stages(plan, outcome)),
    )


def _stages(plan: AttackPlan, outcome: Outcome) -> Iterator[StageResult]:
    pairs = zip(plan.stages, outcome.totals, strict=True)
    for number, (stage, totals) in enumerate(pairs):
        count = int(np.count_nonzero(outcome.stage >= number))
        yield StageResult(
            name=stage.name,
            num_images=count,
            num_correct=int(np.count_nonzero(outcome.stage > number)),
            forward_passes=totals.forward_passes / max(count, 1),
            backward_passes=totals.backward_passes / max(count, 1),
            seconds=totals.seconds,
            settings=stage.described,
        )


def pointwise_rows(
    found: Mapping[tuple[str, float], np.ndarray],
) -> list[Pointwise]:
    """Returns, for each radius, what nothing fooled up to there.

    Args:
        found: bool [n] by attack and radius, correct under it.
    """
    attacked = [key for key in found if key[0] != CLEAN]
    rows = []
    for radius in sorted({eps for _, eps in attacked}):
        masks = [mask for (_, eps), mask in found.items() if eps <= radius]
        names = tuple(attack for attack, eps in attacked if eps == radius)
        accuracy = _accuracy(np.logical_and.reduce(masks))
        rows.append(Pointwise(eps=radius, attacks=names, **accuracy))
    return rows


def _accuracy(correct: np.ndarray) -> dict[str, Any]:
    return accuracy_fields(int(np.count_nonzero(correct)), len(correct))
