"""Gradients that attacks follow must not vanish (arXiv:1802.00420)."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import judge_share, judge_weaker
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import cross_entropy, log_odds, margin
from tfgan_robust.reports.verdicts import FAIL, Finding, worst

# Of the margin's gradient: below float32's precision, the other is rounding.
TINY = float(np.finfo(np.float32).eps)
# Of the margin: what it would change by, were it linear, if every pixel moved
# across its whole range. A sound network's changes several times over.
FLAT = 0.01
# Accuracy may be too high by these shares of images, which PGD may miss. Tiny
# gradients, which networks trained for long have too, still point somewhere:
# they do not count towards a FAIL.
MASKED_WARN, MASKED_FAIL = 0.01, 0.1
# A p_true above 1 - 1e-6 leaves 1 - p_true one digit in float32.
SATURATED = 1e-6
# Where saturation hid the gradient, a few steps along it fool at once.
SCALED_ATTACK = "pgd-20"


def gradients(context: AuditContext) -> Finding:
    """Clean images have gradients that are neither 0, tiny nor NaN."""
    logits_fn = context.classifier.logits_fn
    try:
        odds, largest, total, margins = context.map_batches(
            lambda images, labels, seed: _sizes(logits_fn, images, labels),
            forward=1,
            backward=2,
        )
    except _NoGradientError:
        return Finding(
            FAIL,
            {},
            "no gradient reaches the images (rounding or an argmax inside?)",
        )
    finite = np.isfinite(odds + largest + total)
    zero = finite & (odds == 0)
    small = (odds <= TINY * largest) | (total <= FLAT * np.abs(margins))
    tiny = finite & ~zero & small
    missing = zero | ~finite
    verdicts = [
        judge_share(missing, warn=MASKED_WARN, fail=MASKED_FAIL),
        judge_share(missing | tiny, warn=MASKED_WARN),
    ]
    kinds = {"zero": zero, "tiny": tiny, "non_finite": ~finite}
    shares = {name: mask.mean() for name, mask in kinds.items()}
    listed = ", ".join(
        f"{name.replace('_', '-')} for {100 * share:.1f} %"
        for name, share in shares.items()
    )
    return Finding(
        worst(verdicts), shares, f"gradients are {listed} of the images"
    )


def saturation(context: AuditContext) -> Finding:
    """PGD does no better once the logits are scaled to margins about 1.

    On the images that PGD leaves as they are.
    """
    logits, labels = context.logits(), context.labels
    with np.errstate(invalid="ignore"):
        scale = float(np.median(np.abs(margin(labels, logits))))
    saturated = cross_entropy(labels, logits).numpy() < SATURATED
    classifier = context.classifier
    factor = 1 / scale if np.isfinite(scale) and scale > 0 else 1.0
    scaled = dataclasses.replace(
        classifier,
        logits_fn=lambda images: factor * classifier.logits_fn(images),
    )
    raw = context.correct_under("pgd-100")
    unit = raw & context.correct_under(
        SCALED_ATTACK, classifier=scaled, where=raw
    )
    figures = {
        "saturated": saturated.mean(),
        "median_margin": scale,
        "pgd-100": raw.mean(),
        f"{SCALED_ATTACK}, scaled": unit.mean(),
    }
    return Finding(
        judge_weaker(unit, raw),
        figures,
        f"cross-entropy is saturated for {100 * figures['saturated']:.1f} % of "
        f"the images; pgd-100 leaves {100 * raw.mean():.1f} %, of these "
        f"{SCALED_ATTACK} on scaled logits {100 * unit.mean():.1f} %",
    )


class _NoGradientError(Exception):
    """Logits do not depend on images smoothly."""


def _sizes(
    logits_fn: LogitsFn, images: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Largest gradient of the odds and of the margin, its sum; margin."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        logits = tf.cast(logits_fn(images), tf.float32)
        odds = tf.reduce_sum(log_odds(labels, logits))
        margins = margin(labels, logits)
    pair = [tape.gradient(loss, images) for loss in (odds, margins)]
    if any(gradient is None for gradient in pair):
        raise _NoGradientError
    # Not `input_gradient`: it hides NaN, which counts here.
    by_odds, largest = (tf.reduce_max(tf.abs(g), [1, 2, 3]) for g in pair)
    return (
        by_odds,
        largest,
        tf.reduce_sum(tf.abs(pair[1]), [1, 2, 3]),
        margins,
    )
