"""How much of a perturbation it takes to fool."""

import tensorflow as tf

from tfgan_robust.attacks.base import Verdict, choose, judge
from tfgan_robust.networks.logits import LogitsFn

# The border is found to 1/1000 of the perturbation.
NUM_HALVINGS = 10


def shorten(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    attacked: tf.Tensor,
) -> Verdict:
    """Goes back from attacked images to clean ones as far as they fool.

    By bisection, as the Boundary attack begins (arXiv:1712.04248).

    Args:
        logits_fn: The classifier in inference mode.
        images: float32 [batch, height, width, channels] in [0, 1], classified
            correctly.
        labels: Integer [batch].
        attacked: Shaped as `images`, in [0, 1].

    Returns:
        The nearest fooling point that was found between each two; the
        attacked image where that does not fool.
    """

    def halve(
        count: tf.Tensor, right: tf.Tensor, wrong: tf.Tensor, nearest: Verdict
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, Verdict]:
        middle = (right + wrong) / 2
        share = middle[:, tf.newaxis, tf.newaxis, tf.newaxis]
        points = images + share * (attacked - images)
        here = judge(logits_fn(points), points, labels)
        return (
            count + 1,
            tf.where(here.fooled, right, middle),
            tf.where(here.fooled, middle, wrong),
            Verdict(
                nearest.fooled,
                choose(here.fooled, points, nearest.images),
                tf.where(here.fooled, here.predicted, nearest.predicted),
            ),
        )

    start = judge(logits_fn(attacked), attacked, labels)
    zero = tf.zeros_like(labels, tf.float32)
    *_, nearest = tf.while_loop(
        lambda count, *_: count < NUM_HALVINGS,
        halve,
        (tf.constant(0), zero, zero + 1, start),
    )
    return Verdict(
        start.fooled,
        choose(start.fooled, nearest.images, attacked),
        nearest.predicted,
    )
