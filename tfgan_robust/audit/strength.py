"""Stronger attacks must do more harm (arXiv:1902.06705)."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import first, judge, judge_weaker
from tfgan_robust.reports.verdicts import PASS, Finding, unchecked, worst

STEPS = ("pgd-10", "pgd-100")
# So many take long: so many images that fewer steps fooled are enough. On a
# sound network they miss this share of them at most, by other random starts.
MANY_STEPS, NUM_FOOLED, MISSED = "pgd-1000", 32, 0.05
# From 0.5 on every image can be made the same grey, from 1 on any other.
WHOLE_RANGE = (0.5, 1.0)


def more_steps(context: AuditContext) -> Finding:
    """More steps of PGD never fool fewer images, beyond sampling error.

    Unless it was measured, the last one is run on images that fewer steps
    fooled: it must fool them, too.
    """
    measured = [MANY_STEPS] if MANY_STEPS in context.measured else []
    verdict, figures = _ascending(context, [*STEPS, *measured])
    fewer = context.correct_under(STEPS[-1])
    fooled = first(context.clean_correct & ~fewer, NUM_FOOLED)
    if fooled.any() and not measured:
        missed = context.correct_under(MANY_STEPS, where=fooled)[fooled]
        verdict = worst([verdict, judge(missed.sum(), len(missed), MISSED)])
        figures[f"{MANY_STEPS} of those fooled"] = missed.mean()
    weaker = "no weaker" if verdict == PASS else "weaker"
    return _finding(verdict, figures, f"more steps are {weaker}")


def one_step(context: AuditContext) -> Finding:
    """One step is not stronger than many."""
    return _no_stronger(context, "fgsm", "pgd-100")


def noise(context: AuditContext) -> Finding:
    """Random noise is not stronger than a step along the gradient."""
    return _no_stronger(context, "noise", "fgsm")


def whole_range(context: AuditContext) -> Finding:
    """Accuracy falls to chance as the ball grows to all images."""
    chance = _chance(context)
    figures, verdicts = {"chance": chance}, []
    for eps in WHOLE_RANGE:
        correct = context.correct_under("pgd-100", eps=eps)
        figures[f"pgd-100@{eps:g}"] = correct.mean()
        verdicts.append(judge(correct.sum(), len(correct), chance))
    verdict, message = worst(verdicts), "falls to chance"
    if verdict != PASS:
        message = "an attack that may change everything leaves images correct"
    return _finding(verdict, figures, message)


def occurring_classes(context: AuditContext) -> Finding:
    """An attack among the classes that occur is not stronger than among all.

    Classes that no image has can shadow the largest logit, so that attacks
    chase them. That a network answers with one makes it no class of an image.
    """
    classifier = context.classifier
    occurring = np.unique(context.labels)
    dropped = classifier.num_classes - len(occurring)
    if len(occurring) < 2:
        return unchecked("only one class occurs")
    if not dropped:
        return Finding(PASS, {"dropped": 0}, "all classes occur")
    places = np.searchsorted(occurring, context.labels)
    few = dataclasses.replace(
        classifier,
        logits_fn=lambda images: tf.gather(
            classifier.logits_fn(images), occurring, axis=-1
        ),
        num_classes=len(occurring),
    )
    correct = context.correct_under("pgd-100", classifier=few, labels=places)
    left = context.white_box_correct
    return _finding(
        judge_weaker(correct, left),
        {"white_box": left.mean(), "occurring": correct.mean()},
        f"pgd-100 among the {len(occurring)} classes that occur is compared "
        f"with white-box attacks among {classifier.num_classes}",
    )


def _chance(context: AuditContext) -> float:
    """The accuracy of a network that knows nothing of its images."""
    chance = 1 / context.classifier.num_classes
    named = np.unique(context.first_logits.argmax(axis=-1))
    # It collapsed: no attack changes that, nor how often its class occurs.
    if len(named) == 1 < len(np.unique(context.labels)):
        return max(chance, float(context.clean_correct.mean()))
    return chance


def _no_stronger(context: AuditContext, weak: str, strong: str) -> Finding:
    verdict, figures = _ascending(context, [weak, strong])
    stronger = "not stronger" if verdict == PASS else "stronger"
    return _finding(verdict, figures, f"{weak} is {stronger} than {strong}")


def _ascending(
    context: AuditContext, names: list[str]
) -> tuple[str, dict[str, float]]:
    """Compares each attack with those after it, which must be no weaker."""
    masks = {name: context.correct_under(name) for name in names}
    pairs = itertools.combinations(masks.values(), 2)
    verdict = worst([judge_weaker(*pair) for pair in pairs])
    return verdict, {name: mask.mean() for name, mask in masks.items()}


def _finding(verdict: str, figures: dict[str, float], message: str) -> Finding:
    listed = ", ".join(f"{k} {100 * v:.1f} %" for k, v in figures.items())
    return Finding(verdict, figures, f"{listed}: {message}")
