"""What every attack returns."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# From images in [0, 1] to float32 logits [batch, num_classes], in inference
# mode, changing no variable.
LogitsFn = Callable[[tf.Tensor], tf.Tensor]


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
    keep = first.fooled[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return AttackResult(
        tf.where(keep, first.images, second.images),
        tf.logical_or(first.fooled, second.fooled),
    )
