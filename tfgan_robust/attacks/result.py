"""What every attack returns."""

from typing import NamedTuple

import tensorflow as tf


class AttackResult(NamedTuple):
    """Perturbed images and whether they fool the classifier.

    Attributes:
        images: float32, shaped as the attacked images, in [0, 1].
        fooled: bool [batch].
    """

    images: tf.Tensor
    fooled: tf.Tensor


def is_fooled(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Tells which examples are not classified as labelled; bool [batch].

    A row with a NaN counts as fooled: it is no right answer.
    """
    predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    wrong = tf.not_equal(predicted, labels)
    broken = tf.reduce_any(tf.math.is_nan(logits), axis=-1)
    return tf.logical_or(wrong, broken)


def keep_fooling(first: AttackResult, second: AttackResult) -> AttackResult:
    """Takes each example from `first` if it fools there, else `second`."""
    return AttackResult(
        choose(first.fooled, first.images, second.images),
        tf.logical_or(first.fooled, second.fooled),
    )


def choose(
    condition: tf.Tensor, if_true: tf.Tensor, if_false: tf.Tensor
) -> tf.Tensor:
    """Takes whole examples from one of two tensors.

    Args:
        condition: bool [batch].
        if_true: [batch, ...], where the condition holds.
        if_false: Shaped alike, elsewhere.
    """
    if if_true.shape.rank == 1:
        return tf.where(condition, if_true, if_false)
    # As a matrix: broadcasting over more axes takes TensorFlow four times
    # as long.
    rows = tf.shape(condition)[0]
    chosen = tf.where(
        condition[:, tf.newaxis],
        tf.reshape(if_true, [rows, -1]),
        tf.reshape(if_false, [rows, -1]),
    )
    return tf.reshape(chosen, tf.shape(if_true))
