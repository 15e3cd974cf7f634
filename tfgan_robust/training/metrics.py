"""What a training step reports of the networks and the perturbations."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfgan_robust.methods.base import Method
from tfgan_robust.networks.losses import cross_entropy


def names(method: Method) -> list[str]:
    """Returns the names of what is measured in training with a method."""
    clean = ["clean"] if method.clean_weight > 0 else []
    found = ["loss"]
    for batch in [*clean, *method.names]:
        found += [f"{batch}_loss", f"{batch}_accuracy"]
    for batch in method.names:
        found += [f"{batch}_perturbation_linf", f"{batch}_perturbation_l2"]
    return found + [f"{name}_gradient_norm" for name in networks(method)]


def networks(method: Method) -> list[str]:
    """Returns the names of the networks that learn."""
    return ["classifier", *method.players]


def update(
    trackers: Mapping[str, keras.metrics.Mean], logs: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Adds figures to running means, and returns these."""
    for name, tracker in trackers.items():
        tracker.update_state(logs[name])
    return {name: tracker.result() for name, tracker in trackers.items()}


def answers(
    labels: tf.Tensor, logits: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Returns cross-entropy and correctness, float32 [batch].

    Args:
        labels: Integer [batch].
        logits: By the name of the batch, [batch, num_classes], or of its
            first examples.
    """
    found = {}
    for name, batch in logits.items():
        own = labels[: tf.shape(batch)[0]]
        correct = tf.equal(tf.argmax(batch, -1, labels.dtype), own)
        found[f"{name}_loss"] = cross_entropy(own, batch)
        found[f"{name}_accuracy"] = tf.cast(correct, tf.float32)
    return found


def sizes(
    images: tf.Tensor, perturbed: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Returns both norms of perturbations, float32 [batch].

    Args:
        images: float32 [batch, height, width, channels].
        perturbed: By the name of the batch, shaped alike.
    """
    found = {}
    for name, batch in perturbed.items():
        change = batch - images
        found[f"{name}_perturbation_linf"] = tf.reduce_max(
            tf.abs(change), axis=[1, 2, 3]
        )
        found[f"{name}_perturbation_l2"] = tf.sqrt(
            tf.reduce_sum(tf.square(change), axis=[1, 2, 3])
        )
    return found
