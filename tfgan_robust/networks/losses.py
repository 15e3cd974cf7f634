"""Losses, per example: whoever calls them decides how to reduce.

All grow as a classifier gets worse, so that attacks ascend them.
"""

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

# Keeps the ratio of DLR finite where the largest logits are equal.
_SMALL = 1e-12


class TargetedLoss(Protocol):
    """A loss that grows as a classifier takes an image for another class."""

    def __call__(
        self, labels: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor
    ) -> tf.Tensor:
        """Returns float32 [batch].

        Args:
            labels: Integer [batch], class numbers.
            logits: Floating point [batch, num_classes].
            targets: Integer [batch], the classes to be taken for.
        """


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


def margin(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Computes how far the best wrong logit is above the correct one.

    Positive for misclassified examples (arXiv:1608.04644, without the floor
    of that paper's f6). See `cross_entropy` for arguments and result.
    """
    logits = tf.cast(logits, tf.float32)
    correct = tf.gather(logits, labels, batch_dims=1)
    hidden = tf.one_hot(
        labels, logits.shape[-1], on_value=-float("inf"), off_value=0.0
    )
    return tf.reduce_max(logits + hidden, axis=-1) - correct


def dlr(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Computes the difference of logits ratio (arXiv:2003.01690, eq. 6).

    The margin over the distance of the largest to the third largest logit,
    which neither shifting nor scaling the logits changes. Needs 3 classes.
    See `cross_entropy` for arguments and result.
    """
    logits = tf.cast(logits, tf.float32)
    largest = tf.math.top_k(logits, 3).values
    spread = largest[:, 0] - largest[:, 2]
    return margin(labels, logits) / (spread + _SMALL)


def targeted_cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
    """Computes the log-probability of the target; see `TargetedLoss`."""
    return -cross_entropy(targets, logits)


def targeted_margin(
    labels: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
    """Computes the target's logit minus the correct one; see `TargetedLoss`."""
    logits = tf.cast(logits, tf.float32)
    correct = tf.gather(logits, labels, batch_dims=1)
    return tf.gather(logits, targets, batch_dims=1) - correct


def targeted_dlr(
    labels: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor
) -> tf.Tensor:
    """Computes targeted DLR (arXiv:2003.01690, eq. 7); see `TargetedLoss`.

    Needs 4 classes.
    """
    logits = tf.cast(logits, tf.float32)
    largest = tf.math.top_k(logits, 4).values
    spread = largest[:, 0] - (largest[:, 2] + largest[:, 3]) / 2
    return targeted_margin(labels, logits, targets) / (spread + _SMALL)


LOSSES: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}
TARGETED_LOSSES: dict[str, TargetedLoss] = {
    "cross_entropy": targeted_cross_entropy,
    "margin": targeted_margin,
    "dlr": targeted_dlr,
}


def loss_function(
    name: str, targets: tf.Tensor | None = None
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a loss as a function of labels and logits.

    Args:
        name: One of `LOSSES`.
        targets: Integer [batch], the classes to be taken for; None for an
            untargeted loss.
    """
    if targets is None:
        return LOSSES[name]
    targeted = TARGETED_LOSSES[name]
    return lambda labels, logits: targeted(labels, logits, targets)
