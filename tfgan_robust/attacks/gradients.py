"""The gradient that white-box attacks follow."""

from collections.abc import Callable

import tensorflow as tf

from tfgan_robust.attacks.result import LogitsFn
from tfgan_robust.losses import cross_entropy


def input_gradient(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    loss_fn: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = cross_entropy,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Differentiates the summed loss with respect to the images.

    The sum, since a mean would scale gradients with the batch size and, in
    low precision, lose small ones.

    Args:
        logits_fn: The classifier in inference mode.
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: Integer [batch].
        loss_fn: From labels and logits to a loss for each example.

    Returns:
        The gradient, float32 shaped as `images`, and the logits at `images`,
        float32 [batch, num_classes].
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = tf.cast(logits_fn(images), tf.float32)
        loss = tf.reduce_sum(loss_fn(labels, logits))
    return tape.gradient(loss, images), logits
