"""Losses, per example: whoever calls them decides how to reduce.

All grow as a classifier gets worse, so that attacks ascend them. With targets
they grow as it takes an image for its target instead.
"""

import functools
from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

# Keeps the ratio of DLR finite where the largest logits are equal.
_SMALL = 1e-12
# From labels and logits to a loss of each example.
LossFn = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Loss(Protocol):
    """A loss of each example, untargeted or targeted."""

    def __call__(
        self,
        labels: tf.Tensor,
        logits: tf.Tensor,
        targets: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns float32 [batch].

        Args:
            labels: Integer [batch], class numbers.
            logits: Floating point [batch, num_classes].
            targets: Integer [batch], the classes to be taken for; None for
                an untargeted loss.
        """


def cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0
) -> tf.Tensor:
    """Computes the cross-entropy of each example, the paper's loss.

    See `Loss` for arguments and result.

    Args:
        labels: Integer [batch].
        logits: Floating point [batch, num_classes].
        smoothing: Share of each label that is spread over all classes alike
            (arXiv:1512.00567).
    """
    logits = tf.cast(logits, tf.float32)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=labels, logits=logits
    )
    if smoothing == 0:
        return loss
    spread = tf.reduce_logsumexp(logits, -1) - tf.reduce_mean(logits, -1)
    return (1 - smoothing) * loss + smoothing * spread


def divergence(logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Computes how far answers are from others (Kullback and Leibler).

    Args:
        logits: Floating point [batch, num_classes], of the distribution over
            which the difference of logarithms is averaged.
        other: Shaped alike.

    Returns:
        float32 [batch].
    """
    first, second = (
        tf.nn.log_softmax(tf.cast(each, tf.float32)) for each in (logits, other)
    )
    return tf.reduce_sum(tf.exp(first) * (first - second), axis=-1)


def log_odds(
    labels: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor | None = None
) -> tf.Tensor:
    """Computes the logarithm of the odds against the label.

    Cross-entropy is its softplus, so that both order images alike and their
    gradients point one way. But where a classifier is certain, float32 rounds
    cross-entropy and parts of its gradient to 0, so that attacks stall; this
    does not. Targeted, the odds for the target. See `Loss` for arguments and
    result.
    """
    logits = tf.cast(logits, tf.float32)
    chosen = labels if targets is None else targets
    others = tf.reduce_logsumexp(_hide(chosen, logits), axis=-1)
    odds = others - tf.gather(logits, chosen, batch_dims=1)
    return odds if targets is None else -odds


def margin(
    labels: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor | None = None
) -> tf.Tensor:
    """Computes how far the best wrong logit is above the correct one.

    Positive for misclassified examples (arXiv:1608.04644, without the floor
    of that paper's f6). Targeted, the target's logit takes the place of the
    best wrong one. See `Loss` for arguments and result.
    """
    logits = tf.cast(logits, tf.float32)
    correct = tf.gather(logits, labels, batch_dims=1)
    if targets is not None:
        return tf.gather(logits, targets, batch_dims=1) - correct
    return tf.reduce_max(_hide(labels, logits), axis=-1) - correct


def dlr(
    labels: tf.Tensor, logits: tf.Tensor, targets: tf.Tensor | None = None
) -> tf.Tensor:
    """Computes the difference of logits ratio (arXiv:2003.01690, eq. 6, 7).

    The margin over the distance of the largest to the third largest logit,
    or, targeted, to the mean of the third and the fourth, which neither
    shifting nor scaling the logits changes. Needs 3 classes, targeted 4. See
    `Loss` for arguments and result.
    """
    logits = tf.cast(logits, tf.float32)
    if targets is None:
        largest = tf.math.top_k(logits, 3).values
        spread = largest[:, 0] - largest[:, 2]
    else:
        largest = tf.math.top_k(logits, 4).values
        spread = largest[:, 0] - (largest[:, 2] + largest[:, 3]) / 2
    return margin(labels, logits, targets) / (spread + _SMALL)


def _hide(classes: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Makes one logit of each example the least of all."""
    return logits + tf.one_hot(
        classes, logits.shape[-1], on_value=-float("inf"), off_value=0.0
    )


# What attacks ascend, by the names that reports state.
LOSSES: dict[str, Loss] = {
    "cross_entropy": log_odds,
    "margin": margin,
    "dlr": dlr,
}


def loss_function(name: str, targets: tf.Tensor | None = None) -> LossFn:
    """Returns one of `LOSSES` as a function of labels and logits.

    See `Loss` for `targets`.
    """
    return functools.partial(LOSSES[name], targets=targets)
