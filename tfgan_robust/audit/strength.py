"""Stronger attacks must do more harm (arXiv:1902.06705)."""

import numpy as np

from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import judge, judge_weaker, tail
from tfgan_robust.reports.verdicts import PASS, Finding, worst

STEPS = (10, 100, 1000)
# From 0.5 on every image can be made the same grey, from 1 on any other.
WHOLE_RANGE = (0.5, 1.0)


def more_steps(context: AuditContext) -> Finding:
    """More steps of PGD never fool fewer images, beyond sampling error."""
    names = [f"pgd-{steps}" for steps in STEPS]
    masks = [context.correct_under(name) for name in names]
    verdict = worst(
        [
            judge_weaker(fewer, more)
            for index, more in enumerate(masks)
            for fewer in masks[:index]
        ]
    )
    figures = {
        name: float(np.mean(mask))
        for name, mask in zip(names, masks, strict=True)
    }
    return Finding(
        verdict,
        figures,
        f"{_shares(figures)}: more steps are "
        f"{'no weaker' if verdict == PASS else 'weaker'}",
    )


def one_step(context: AuditContext) -> Finding:
    """One step is not stronger than many."""
    return _no_stronger(context, "fgsm", "pgd-100")


def noise(context: AuditContext) -> Finding:
    """Random noise is not stronger than a step along the gradient."""
    return _no_stronger(context, "noise", "fgsm")


def whole_range(context: AuditContext) -> Finding:
    """Accuracy falls to chance as the ball grows to all images."""
    chance = 1 / context.classifier.num_classes
    figures, verdicts = {"chance": chance}, []
    for eps in WHOLE_RANGE:
        correct = context.correct_under("pgd-100", eps=eps)
        figures[f"pgd-100@{eps:g}"] = float(np.mean(correct))
        count = int(np.count_nonzero(correct))
        verdicts.append(judge(tail(count, len(correct), chance)))
    verdict = worst(verdicts)
    return Finding(
        verdict,
        figures,
        f"{_shares(figures)}: "
        + (
            "falls to chance"
            if verdict == PASS
            else "an attack that may change everything leaves images right"
        ),
    )


def _no_stronger(context: AuditContext, weak: str, strong: str) -> Finding:
    masks = {name: context.correct_under(name) for name in (weak, strong)}
    verdict = judge_weaker(masks[weak], masks[strong])
    figures = {name: float(np.mean(mask)) for name, mask in masks.items()}
    return Finding(
        verdict,
        figures,
        f"{_shares(figures)}: {weak} is "
        f"{'not ' if verdict == PASS else ''}stronger than {strong}",
    )


def _shares(figures: dict[str, float]) -> str:
    return ", ".join(f"{k} {100 * v:.1f} %" for k, v in figures.items())
