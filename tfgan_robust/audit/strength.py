"""Stronger attacks must do more harm (arXiv:1902.06705)."""

import numpy as np

from tfgan_robust.audit.sampling import judge, judge_rival, tail
from tfgan_robust.audit.subject import Subject
from tfgan_robust.reports.verdicts import PASS, Check, worst

STEPS = (10, 100, 1000)
# From 0.5 on every image can be made the same grey, from 1 on any other.
WHOLE_RANGE = (0.5, 1.0)


def more_steps(subject: Subject) -> Check:
    """More steps of PGD never fool fewer images, beyond sampling error."""
    names = [f"pgd-{steps}" for steps in STEPS]
    masks = [subject.right(name) for name in names]
    verdict = worst(
        [
            judge_rival(fewer, more)
            for index, more in enumerate(masks)
            for fewer in masks[:index]
        ]
    )
    figures = {
        name: float(np.mean(mask))
        for name, mask in zip(names, masks, strict=True)
    }
    return Check(
        "more_steps",
        verdict,
        figures,
        f"{_shares(figures)}: more steps are "
        f"{'no weaker' if verdict == PASS else 'weaker'}",
    )


def one_step(subject: Subject) -> Check:
    """One step is not stronger than many."""
    return _no_stronger(subject, "one_step", "fgsm", "pgd-100")


def noise(subject: Subject) -> Check:
    """Random noise is not stronger than a step along the gradient."""
    return _no_stronger(subject, "noise", "noise", "fgsm")


def whole_range(subject: Subject) -> Check:
    """Accuracy falls to chance as the ball grows to all images."""
    chance = 1 / subject.classifier.num_classes
    figures, verdicts = {"chance": chance}, []
    for eps in WHOLE_RANGE:
        right = subject.right("pgd-100", eps=eps)
        figures[f"pgd-100@{eps:g}"] = float(np.mean(right))
        correct = int(np.count_nonzero(right))
        verdicts.append(judge(tail(correct, len(right), chance)))
    verdict = worst(verdicts)
    return Check(
        "whole_range",
        verdict,
        figures,
        f"{_shares(figures)}: "
        + (
            "falls to chance"
            if verdict == PASS
            else "an attack that may change everything leaves images right"
        ),
    )


def _no_stronger(subject: Subject, check: str, weak: str, strong: str) -> Check:
    rival, attack = subject.right(weak), subject.right(strong)
    verdict = judge_rival(rival, attack)
    figures = {weak: float(np.mean(rival)), strong: float(np.mean(attack))}
    return Check(
        check,
        verdict,
        figures,
        f"{_shares(figures)}: {weak} is "
        f"{'not ' if verdict == PASS else ''}stronger than {strong}",
    )


def _shares(figures: dict[str, float]) -> str:
    return ", ".join(f"{k} {100 * v:.1f} %" for k, v in figures.items())
