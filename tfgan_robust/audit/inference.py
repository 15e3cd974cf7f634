"""A classifier must be a function of one image (arXiv:1802.00420)."""

import numpy as np
import tensorflow as tf

from tfgan_robust.audit.context import AuditContext
from tfgan_robust.reports.verdicts import FAIL, PASS, Finding

# Of the largest logit. The same pass twice differs by the order of sums only.
REPEATED = 1e-5
# Of the largest logit. Batches of other sizes run other kernels, on a GPU in
# TensorFloat-32, which rounds to 1e-3.
ALONE = 1e-3
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
    images = tf.cast(context.images[batch], tf.float32) / 255
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


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    largest = max(float(np.max(np.abs(first))), 1e-30)
    # Infinite logits have no difference: NaN, which is within no bound.
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(first - second))) / largest
