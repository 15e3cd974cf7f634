"""Adversarial weight perturbation (arXiv:2004.05884)."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

# Keeps the direction of a zero gradient finite.
_SMALL = 1e-12


def is_kernel(variable: keras.Variable) -> bool:
    """Tells whether weights multiply inputs: those of two axes or more."""
    return len(variable.shape) > 1


def worst(
    network: keras.Model,
    tape: tf.GradientTape,
    loss: tf.Tensor,
    length: tf.Tensor,
) -> list[tf.Tensor]:
    """Moves kernels up a loss (arXiv:2004.05884, equations 8 and 10).

    Args:
        network: Whose kernels.
        tape: That has recorded the loss.
        loss: Scalar.
        length: How far, as a share of each kernel's norm.

    Returns:
        All trainable weights, those that are no kernels as they are.
    """
    variables = network.trainable_variables
    moving = [variable for variable in variables if is_kernel(variable)]
    gradients = tape.gradient(loss, [variable.value for variable in moving])
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    moved = {}
    for variable, gradient in zip(moving, gradients, strict=True):
        reach = length * tf.norm(variable.value)
        direction = gradient / (tf.norm(gradient) + _SMALL)
        moved[id(variable)] = variable.value + reach * direction
    return [
        moved.get(id(variable), tf.identity(variable.value))
        for variable in variables
    ]


def with_weights(
    network: keras.Model, values: Sequence[tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Returns a network with other weights, which changes no variable.

    Args:
        network: The network.
        values: In place of its trainable variables.
    """

    def call(images: tf.Tensor, training: bool = False) -> tf.Tensor:
        answers, _ = network.stateless_call(
            values, network.non_trainable_variables, images, training=training
        )
        return answers

    return call
