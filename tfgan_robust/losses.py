"""Losses, per example: whoever calls them decides how to reduce."""

import tensorflow as tf


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Computes the cross-entropy of each example, the paper's loss.

    Args:
        labels: Integer [batch], class numbers.
        logits: Floating point [batch, num_classes].

    Returns:
        float32 [batch].
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=tf.cast(logits, tf.float32)
    )
