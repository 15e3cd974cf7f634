"""Gradients must be those of the loss (arXiv:1802.00420)."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks import linf
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import judge_share
from tfgan_robust.classifiers.agreement import resolution
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import margin
from tfgan_robust.reports.verdicts import Finding, unchecked, worst

# Half the distance of central differences, on the [0, 1] pixel scale: within
# one of 256 levels, so that rounding shows, and 1000 times float32's rounding.
STEP = 0.1 / 255
# Only the largest gradients' pixels move: so few seldom cross the edges of a
# staircase, while all together would average it out.
MOVED = 1 / 64
# Of the distance of neighbours, at the larger of the two logits that make the
# margin: smaller changes may be rounding.
ROUNDING = 80
# With fewer images whose change can be measured, nothing is said.
MEASURED = 0.5
# All pixels move at random, so that no part of the gradient stays unseen: by
# the norm over so many directions, of which kinks change up to a tenth, and a
# gradient that lacks one of three channels the 0.6th part.
DIRECTIONS, DENSE_ERROR = 8, 0.3
# Kinks of ReLU and max-pooling make a few images of a sound network change
# otherwise than predicted, by over a tenth; a staircase makes most.
ERROR, ERROR_WARN, ERROR_FAIL = 0.1, 0.1, 0.25
# Of eps: such a step lowers the loss of few images of a sound network, and of
# half of them where the gradient is noise.
STEP_AWAY, LOWER_WARN, LOWER_FAIL = 0.1, 0.1, 0.25


def finite_differences(context: AuditContext) -> Finding:
    """The margin changes as its gradient says, near and a step away.

    Measured where PGD starts, at random points of the ball: on clean images,
    flat areas put max-pooling on its kinks.
    """
    logits_fn, eps = context.classifier.logits_fn, context.eps

    def measure(
        images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        start = linf.random_start(images, eps, seed)
        return _changes(logits_fn, start, labels, eps, seed)

    predicted, actual, rise, largest, dense = context.map_batches(
        measure, forward=4 + 2 * DIRECTIONS, backward=1
    )
    size = np.maximum(np.abs(predicted), np.abs(actual))
    # Written so that NaN counts against the gradient.
    rounding = ROUNDING * resolution(context.first_logits) * largest
    measured = ~(size <= rounding)
    figures = {"told": measured.mean()}
    if figures["told"] < MEASURED:
        return unchecked(
            "the loss is too flat to tell from the rounding of logits of "
            f"{np.median(largest):.2g}",
            figures,
        )
    with np.errstate(invalid="ignore"):
        error = np.abs(actual - predicted)[measured] / size[measured]
    wrong, lower = ~(error < ERROR), ~(rise > 0)
    hidden = ~(dense < DENSE_ERROR)[measured]
    figures["median_error"] = float(np.median(error))
    figures["agree"] = 1 - wrong.mean()
    figures["agree_everywhere"] = 1 - hidden.mean()
    figures["rise"] = 1 - lower.mean()
    verdicts = [
        judge_share(wrong, warn=ERROR_WARN, fail=ERROR_FAIL),
        judge_share(hidden, warn=ERROR_WARN, fail=ERROR_FAIL),
        judge_share(lower, warn=LOWER_WARN, fail=LOWER_FAIL),
    ]
    return Finding(worst(verdicts), figures, _told(figures))


def _told(figures: Mapping[str, float]) -> str:
    return (
        f"the loss changes as its gradient says for "
        f"{100 * figures['agree']:.1f} % of the images (median error "
        f"{100 * figures['median_error']:.2g} %), in all pixels for "
        f"{100 * figures['agree_everywhere']:.1f} %; a step of "
        f"{STEP_AWAY:g} eps raises it for {100 * figures['rise']:.1f} %"
    )


def _changes(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    eps: float,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """Predicted and actual change, by a step; logits' size; dense error."""
    # Inside the pixel range, where a classifier may clip.
    images = tf.clip_by_value(images, STEP, 1 - STEP)
    gradient, logits, before = input_gradient(logits_fn, images, labels, margin)
    own = tf.gather(logits, labels, batch_dims=1)
    largest = tf.maximum(tf.abs(own), tf.abs(own + before))
    direction = tf.sign(gradient)
    flat = tf.abs(tf.reshape(gradient, [-1, gradient.shape[1:].num_elements()]))
    moved = max(1, round(MOVED * flat.shape[1]))
    limit = tf.math.top_k(flat, moved).values[:, -1]
    chosen = tf.abs(gradient) >= tf.reshape(limit, [-1, 1, 1, 1])

    def change(by: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        above, below = images + STEP * by, images - STEP * by
        # By the difference that float32 made of it.
        predicted = tf.reduce_sum(gradient * (above - below), [1, 2, 3])
        after, before = (margin(labels, logits_fn(x)) for x in (above, below))
        return predicted, after - before

    predicted, actual = change(tf.where(chosen, direction, 0.0))
    told, found = zip(
        *(
            change(_signs(tf.shape(images), seed + [1 + number, 0]))
            for number in range(DIRECTIONS)
        ),
        strict=True,
    )
    told, found = tf.stack(told), tf.stack(found)
    size = tf.maximum(tf.norm(told, axis=0), tf.norm(found, axis=0))
    dense = tf.norm(found - told, axis=0) / size
    step = tf.clip_by_value(images + STEP_AWAY * eps * direction, 0.0, 1.0)
    rise = margin(labels, logits_fn(step)) - before
    return predicted, actual, rise, largest, dense


def _signs(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws -1 or 1 for each pixel and channel."""
    drawn = tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
    return tf.where(drawn < 0, -1.0, 1.0)
