"""A classifier must be a function of one image (arXiv:1802.00420)."""

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.linf import project
from tfgan_robust.audit.context import AuditContext
from tfgan_robust.classifiers.fresh import fresh_logits
from tfgan_robust.reports.verdicts import FAIL, PASS, Finding

# Of the largest logit. The same pass twice differs by the order of sums only.
REPEATED = 1e-5
# Of the largest logit. Batches of other sizes run other kernels, on a GPU in
# TensorFloat-32, which rounds to 1e-3.
ALONE = 1e-3
# Of the largest logit. Another process may run on another device.
RELOADED = 1e-2
_NUM_ALONE = 16


def deterministic(context: AuditContext) -> Finding:
    """Two passes over the same images give the same logits."""
    first, second = (context.logits() for _ in range(2))
    difference = _difference(first, second)
    same = difference <= REPEATED
    return Finding(
        PASS if same else FAIL,
        {"largest_difference": difference},
        f"two passes differ by {difference:.1e} of the largest logit"
        + ("" if same else ": average attacks over the randomness"),
    )


def batch_independence(context: AuditContext) -> Finding:
    """An image alone gets the logits of the batch; attacks change nothing."""
    count = min(_NUM_ALONE, len(context))
    batch = slice(None, context.execution.batch_size)
    images = context.pixels(batch)
    together = context.logits_fn(images).numpy()[:count]
    alone = [context.logits_fn(images[i : i + 1]).numpy() for i in range(count)]
    difference = _difference(together, np.concatenate(alone)[: len(together)])
    before, after = context.variables_before, context.variables()
    changed = sum(
        old.tobytes() != new.tobytes()
        for old, new in zip(before, after, strict=True)
    )
    same = difference <= ALONE
    return Finding(
        PASS if same and not changed else FAIL,
        {"largest_difference": difference, "variables_changed": changed},
        f"alone and in a batch, logits differ by {difference:.1e} of the "
        f"largest; {changed or 'no'} variables changed",
    )


def within_the_ball(context: AuditContext) -> Finding:
    """Points of the ball and attacked images get the same logits anyhow.

    Again, eagerly, one by one, and in another order: some classifiers keep up
    appearances on clean images only.
    """
    count = min(_NUM_ALONE, len(context))
    images = context.pixels(slice(count))
    generator = np.random.default_rng(context.execution.seed)
    noise = generator.uniform(-1, 1, images.shape).astype(np.float32)
    drawn = project(images + context.eps * noise, images, context.eps)
    together = tf.concat([drawn, context.attacked(count)], axis=0)
    look = context.logits_fn
    # Eagerly.
    context.count(len(together), 0)
    first = look(together).numpy()
    others = {
        "again": look(together),
        "eagerly": context.classifier.logits_fn(together),
        "one by one": tf.concat([look(each[None]) for each in together], 0),
        "in another order": look(together[::-1])[::-1],
    }
    figures = {
        name: _difference(first, np.asarray(logits))
        for name, logits in others.items()
    }
    # Written so that NaN is a difference.
    wrong = [name for name, found in figures.items() if not found <= ALONE]
    return Finding(
        FAIL if wrong else PASS,
        figures,
        f"logits of {len(together)} images within the ball are "
        + (f"others {', '.join(wrong)}" if wrong else "the same anyhow"),
    )


def reloaded(context: AuditContext) -> Finding:
    """Loaded anew, it answers the same, asked for attacked images first.

    Whatever the classifier kept in memory, and whatever it was first asked,
    a process of its own does not know.
    """
    if context.classifier.source is None:
        reason = "there is no file from which it could be loaded again"
        return Finding(PASS, {}, reason)
    count = min(_NUM_ALONE, len(context))
    clean = context.pixels(slice(count))
    batches = [context.attacked(count).numpy(), clean.numpy()]
    there = fresh_logits(context.classifier, batches)
    context.count(2 * count, 0)
    figures = {
        name: _difference(context.logits_fn(batch).numpy(), answer)
        for name, batch, answer in zip(
            ("attacked", "clean"), batches, there, strict=True
        )
    }
    wrong = [name for name, found in figures.items() if not found <= RELOADED]
    return Finding(
        FAIL if wrong else PASS,
        figures,
        "in a fresh process, logits are "
        + (f"others for {' and '.join(wrong)} images" if wrong else "the same"),
    )


def memory(context: AuditContext) -> Finding:
    """At the end, clean images get the logits that they got at first.

    A classifier that remembers what it was asked, or that counts, changes
    what attacks meet.
    """
    difference = _difference(context.first_logits, context.logits())
    same = difference <= REPEATED
    return Finding(
        PASS if same else FAIL,
        {"largest_difference": difference},
        f"after all attacks, logits of clean images differ by "
        f"{difference:.1e} of the largest logit from those before",
    )


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    largest = max(float(np.max(np.abs(first))), 1e-30)
    # Infinite logits have no difference: NaN, which is within no bound.
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(first - second))) / largest
