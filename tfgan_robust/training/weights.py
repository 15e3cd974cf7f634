"""Weights: their gradients, and adversarial steps (arXiv:2004.05884)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

# Keeps the direction of a zero gradient finite.
_SMALL = 1e-12
# By Keras's names: attention has biases of two axes, for instance.
_NO_KERNELS = ("bias", "beta", "gamma")


def is_kernel(variable: keras.Variable) -> bool:
    """Tells whether weights multiply inputs.

    Those of two axes or more, but for biases and those of normalisation.
    """
    return len(variable.shape) > 1 and variable.name not in _NO_KERNELS


def dense_gradients(
    tape: tf.GradientTape, losses: Any, variables: Any, **options: Any
) -> Any:
    """Returns gradients as `tf.GradientTape.gradient` does, all as tensors.

    Those of an embedding, of which a batch looks at a few rows, and of
    weights that the loss does not depend on, zeros, too.

    Args:
        tape: That has recorded the losses.
        losses: Scalars.
        variables: Any nest of them.
        **options: See TensorFlow.
    """
    found = tape.gradient(losses, variables, **options)
    return tf.nest.map_structure(_dense, found, variables)


def _dense(gradient: Any, variable: Any) -> tf.Tensor:
    # TensorFlow's own zeros are not for variables of Keras.
    if gradient is None:
        return tf.zeros(variable.shape, variable.dtype)
    return tf.convert_to_tensor(gradient)


def steps_up(
    network: keras.Model,
    tape: tf.GradientTape,
    loss: tf.Tensor,
    length: tf.Tensor,
) -> list[tf.Tensor]:
    """Returns where a loss rises most (arXiv:2004.05884, equations 8 and 10).

    Args:
        network: Whose kernels.
        tape: That has recorded the loss.
        loss: Scalar.
        length: How far, as a share of each kernel's norm.

    Returns:
        What is to be added to each trainable weight, 0 to those that are no
        kernels.
    """
    variables = network.trainable_variables
    moving = [variable for variable in variables if is_kernel(variable)]
    values = [variable.value for variable in moving]
    gradients = dense_gradients(tape, loss, values)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    steps = {}
    for variable, gradient in zip(moving, gradients, strict=True):
        reach = length * tf.norm(variable.value)
        direction = gradient / (tf.norm(gradient) + _SMALL)
        steps[id(variable)] = reach * direction
    return [
        steps.get(id(variable), tf.zeros_like(variable.value))
        for variable in variables
    ]


def moved(network: keras.Model, steps: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns trainable weights after steps; no variable changes.

    Args:
        network: Whose weights.
        steps: One for each.
    """
    return [
        variable.value + step
        for variable, step in zip(
            network.trainable_variables, steps, strict=True
        )
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
