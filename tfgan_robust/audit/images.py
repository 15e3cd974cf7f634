"""A classifier must be as robust on images that nobody chose for it."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.linf import levels_within
from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import judge, judge_share, judge_weaker
from tfgan_robust.classifiers.agreement import differences
from tfgan_robust.reports.verdicts import PASS, Finding, unchecked, worst

# Steps that find nearly all that more would.
ATTACK = "pgd-20"
# Sound networks that never saw shifted images lose less of their robustness.
MOVED_LESS = 0.2
_LEVELS = 255
# A step of this part of a level, which changes nothing to see, changes the
# logits of a sound network by far less than so many median margins.
BESIDE, APART = 1e-3, 0.1
APART_WARN, APART_FAIL = 0.01, 0.1
# So small a ball that only the image itself is in it.
_TINY = 1e-6


def stored_images(context: AuditContext) -> Finding:
    """Images of 256 levels, as files hold them, fool no more than others.

    What lies between two levels cannot be sent to a deployed model, and a
    classifier that is robust there alone protects nobody. The gradient is
    taken at the rounded image, which is what is judged (arXiv:1607.02533
    stores adversarial images, too). And beside an image of 256 levels, logits
    are its own.
    """
    classifier = context.classifier
    eps = levels_within(context.eps) / _LEVELS
    if eps == 0:
        return unchecked("the radius is below one level")
    rounding = dataclasses.replace(
        classifier,
        logits_fn=lambda images: classifier.logits_fn(_to_levels(images)),
    )
    correct = context.correct_under(ATTACK, eps=eps, classifier=rounding)
    left = context.white_box_correct
    apart = ~(differences(context.first_logits, _beside(context)) <= APART)
    figures = {
        "white_box": left.mean(),
        "stored": correct.mean(),
        "apart": apart.mean(),
    }
    return Finding(
        worst(
            [
                judge_weaker(correct, left),
                judge_share(apart, warn=APART_WARN, fail=APART_FAIL),
            ]
        ),
        figures,
        f"white-box attacks leave {100 * figures['white_box']:.1f} %, "
        f"{ATTACK} on images of 256 levels {100 * figures['stored']:.1f} %; "
        f"a step of {BESIDE:g} levels changes the logits of "
        f"{100 * figures['apart']:.1f} %",
    )


def shifted_images(context: AuditContext) -> Finding:
    """Images moved by half a pixel are about as robust as the measured ones.

    A classifier may recognise the images of the evaluation and behave well on
    them alone; these are images that it cannot know, and as easy.
    """
    images = _shift(context.images)
    clean = context.correct_under("noise", eps=_TINY, images=images)
    attacked = context.correct_under(ATTACK, images=images, where=clean)
    ours = context.white_box_correct
    lost = int((ours & clean & ~attacked).sum())
    won = int((~ours & clean & attacked).sum())
    excess = (lost - won) / len(context)
    # Chance, and what a shift may cost.
    verdict = PASS
    if excess > MOVED_LESS:
        verdict = judge(lost, lost + won, 0.5)
    figures = {
        "white_box": float((ours & clean).mean()),
        "shifted": float((attacked & clean).mean()),
    }
    known = "" if verdict == PASS else ": it may know the images"
    return Finding(
        verdict,
        figures,
        "of images that are right when moved by half a pixel, white-box "
        f"attacks leave {100 * figures['white_box']:.1f} % where they are, "
        f"{ATTACK} {100 * figures['shifted']:.1f} % moved{known}",
    )


def _beside(context: AuditContext) -> np.ndarray:
    """The logits of images a part of a level away, within the pixel range."""

    def look(images: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor]:
        step = tf.where(images < 0.5, BESIDE, -BESIDE) / _LEVELS
        return (context.classifier.logits_fn(images + step),)

    return context.map_batches(look, forward=1, backward=0)[0]


def _to_levels(images: tf.Tensor) -> tf.Tensor:
    """The nearest image of 256 levels, with the gradient that it has there."""
    levels = tf.round(images * _LEVELS) / _LEVELS
    return images + tf.stop_gradient(levels - images)


def _shift(images: np.ndarray) -> np.ndarray:
    """Moves images by half a pixel down and right; edges are repeated."""
    wide = np.pad(images, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")
    wide = wide.astype(np.float32)
    parts = (
        wide[:, 1:, 1:], wide[:, 1:, :-1], wide[:, :-1, 1:], wide[:, :-1, :-1],
    )  # fmt: skip
    return np.round(sum(parts) / len(parts)).astype(np.uint8)
