"""The gradient that white-box attacks follow."""

import tensorflow as tf

from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import LossFn, log_odds


def input_gradient(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    loss_fn: LossFn = log_odds,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Differentiates the summed loss with respect to the images.

    The sum, since a mean would scale gradients with the batch size and, in
    low precision, lose small ones.

    Args:
        logits_fn: The classifier.
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: Integer [batch].
        loss_fn: From labels and logits to a loss for each example. The
            default has the direction of the cross-entropy's gradient.

    Returns:
        The gradient, float32 shaped as `images`, whose NaN become 0; the
        logits at `images`, float32 [batch, num_classes]; and the loss of each
        example, float32 [batch].

    Raises:
        UsageError: if the logits do not depend on the images smoothly.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = tf.cast(logits_fn(images), tf.float32)
        loss = loss_fn(labels, logits)
        total = tf.reduce_sum(loss)
    gradient = tape.gradient(total, images)
    if gradient is None:
        raise UsageError(
            "The classifier has no gradient with respect to its images "
            "(rounding or an argmax inside?); attacks that follow gradients "
            "cannot measure it."
        )
    # NaN is no direction; as a step it would leave the ball. (`tf.where` does
    # the same in thrice the time.)
    valid = tf.cast(~tf.math.is_nan(gradient), gradient.dtype)
    return tf.math.multiply_no_nan(gradient, valid), logits, loss
