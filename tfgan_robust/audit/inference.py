"""A classifier must be a function of one image (arXiv:1802.00420)."""

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.linf import project
from tfgan_robust.audit.context import AuditContext
from tfgan_robust.classifiers.agreement import (
    OTHER_KERNELS,
    SAME_PASS,
    difference,
)
from tfgan_robust.classifiers.fresh import fresh_logits
from tfgan_robust.reports.verdicts import (
    FAIL,
    PASS,
    Finding,
    nothing_to_check,
)

# In median margins. Another process may run on another device.
RELOADED = 5e-2
_NUM_ALONE = 16


def deterministic(context: AuditContext) -> Finding:
    """Two passes over the same images give the same logits."""
    first, second = (context.logits() for _ in range(2))
    largest = difference(first, second)
    same = largest <= SAME_PASS
    return Finding(
        PASS if same else FAIL,
        {"largest_difference": largest},
        f"two passes differ by {largest:.1e} of the median margin"
        + ("" if same else ": average attacks over the randomness"),
    )


def batch_independence(context: AuditContext) -> Finding:
    """An image alone gets the logits of the batch; attacks change nothing."""
    count = min(_NUM_ALONE, len(context))
    batch = slice(None, context.execution.batch_size)
    images = context.pixels(batch)
    together = context.logits_fn(images).numpy()[:count]
    alone = [context.logits_fn(images[i : i + 1]).numpy() for i in range(count)]
    largest = difference(together, np.concatenate(alone)[: len(together)])
    before, after = context.variables_before, context.variables()
    changed = sum(
        old.tobytes() != new.tobytes()
        for old, new in zip(before, after, strict=True)
    )
    same = largest <= OTHER_KERNELS
    return Finding(
        PASS if same and not changed else FAIL,
        {"largest_difference": largest, "variables_changed": changed},
        f"alone and in a batch, logits differ by {largest:.1e} of the median "
        f"margin; {changed or 'no'} variables changed",
    )


def within_the_ball(context: AuditContext) -> Finding:
    """Points of the ball and attacked images get the same logits anyhow.

    Again, eagerly, one by one, in another order, and in batches as large as
    attacks were measured with, which copies fill: some classifiers keep up
    appearances on clean images only, or in small batches.
    """
    together = _within_the_ball(context)
    copies = np.arange(context.largest_batch) % len(together)
    full = tf.gather(together, copies)
    look, eagerly = context.logits_fn, context.eager_logits_fn
    first = look(together).numpy()
    answers = {
        "again": (first, look(together)),
        "eagerly": (first, eagerly(together)),
        "one by one": (first, tf.concat([look(x[None]) for x in together], 0)),
        "in another order": (first, look(together[::-1])[::-1]),
        "in a full batch": (first[copies], look(full)),
        "in a full batch, eagerly": (first[copies], eagerly(full)),
    }
    figures = {
        name: difference(expected, np.asarray(found))
        for name, (expected, found) in answers.items()
    }
    # Written so that NaN is a difference.
    wrong = [n for n, found in figures.items() if not found <= OTHER_KERNELS]
    return Finding(
        FAIL if wrong else PASS,
        figures,
        f"logits of {len(together)} images within the ball are "
        + (f"others {', '.join(wrong)}" if wrong else "the same anyhow"),
    )


def _within_the_ball(context: AuditContext) -> tf.Tensor:
    """Draws points of the ball, and appends what PGD makes of the images."""
    count = min(_NUM_ALONE, len(context))
    images = context.pixels(slice(count))
    generator = np.random.default_rng(context.execution.seed)
    noise = generator.uniform(-1, 1, images.shape).astype(np.float32)
    drawn = project(images + context.eps * noise, images, context.eps)
    return tf.concat([drawn, context.attacked(count)], axis=0)


def reloaded(context: AuditContext) -> Finding:
    """Loaded anew, it answers the same, asked for attacked images first.

    Whatever the classifier kept in memory, and whatever it was first asked,
    a process of its own does not know.
    """
    if context.classifier.source is None:
        return nothing_to_check(
            "there is no file from which it could be loaded again"
        )
    count = min(_NUM_ALONE, len(context))
    clean = context.pixels(slice(count))
    batches = [context.attacked(count).numpy(), clean.numpy()]
    there = fresh_logits(context.classifier, batches)
    context.count(2 * count, 0)
    figures = {
        name: difference(context.logits_fn(batch).numpy(), answer)
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
    largest = difference(context.first_logits, context.logits())
    same = largest <= SAME_PASS
    return Finding(
        PASS if same else FAIL,
        {"largest_difference": largest},
        f"after all attacks, logits of clean images differ by {largest:.1e} of "
        "the median margin from those before",
    )
