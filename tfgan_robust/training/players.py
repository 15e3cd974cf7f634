"""Those who move in a training step: networks, each with its optimizer."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from tfgan_robust.training.weights import dense_gradients, is_kernel


class Player(NamedTuple):
    """A network that a loss moves.

    Attributes:
        name: As in metrics.
        network: Whose variables move.
        optimizer: Its own.
        factor: What a loss's gradient is multiplied with for a descent;
            negative for a network that ascends (gradient reversal,
            arXiv:1409.7495).
        l2: Weight decay of the network's kernels, added to the gradient.
    """

    name: str
    network: keras.Model
    optimizer: keras.Optimizer
    factor: float = 1.0
    l2: float = 0.0


def descend(
    tape: tf.GradientTape,
    losses: Sequence[tf.Tensor],
    players: Sequence[Player],
) -> dict[str, tf.Tensor]:
    """Moves each player on its own loss, or all on the same.

    Args:
        tape: That has recorded the losses.
        losses: Scalars, one for each player, or a single one.
        players: Who moves.

    Returns:
        The norm of the gradient that moved each player, its loss scale taken
        out, the same on all replicas.
    """
    scales = [each.optimizer.scale_loss(tf.constant(1.0)) for each in players]
    variables = [each.network.trainable_variables for each in players]
    gradients = dense_gradients(
        tape, losses, variables, output_gradients=scales[: len(losses)]
    )
    if len(losses) < len(players) and isinstance(
        players[0].optimizer, keras.optimizers.LossScaleOptimizer
    ):
        gradients = _all_or_none(gradients)
    norms = {}
    for player, gradient, scale, moved in zip(
        players, gradients, scales, variables, strict=True
    ):
        gradient = [player.factor * part for part in gradient]
        if player.l2:
            gradient = _decayed(gradient, moved, player.l2 * scale)
        player.optimizer.apply(gradient, moved)
        norm = tf.linalg.global_norm(_over_replicas(gradient)) / scale
        norms[f"{player.name}_gradient_norm"] = norm
    return norms


def _decayed(
    gradient: list[tf.Tensor], moved: list[keras.Variable], l2: tf.Tensor
) -> list[tf.Tensor]:
    """Adds a share of kernels, of which each replica adds its own."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return [
        part + l2 / replicas * variable.value if is_kernel(variable) else part
        for part, variable in zip(gradient, moved, strict=True)
    ]


def _over_replicas(gradient: list[tf.Tensor]) -> list[tf.Tensor]:
    """Returns the sum of all replicas' shares, which optimizers apply."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradient
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, gradient)


def _all_or_none(gradients: list[list[tf.Tensor]]) -> list[list[tf.Tensor]]:
    """Spreads an overflow, so that all optimizers skip the step together.

    Their loss scales then stay equal, as they must where there is one loss.
    """
    total = tf.add_n([tf.reduce_sum(part) for part in sum(gradients, [])])
    return [[part + (total - total) for part in each] for each in gradients]


def follow(
    average: keras.Model, network: keras.Model, momentum: float | tf.Tensor
) -> None:
    """Moves an average of weights, and of moving statistics, on.

    Args:
        average: A copy of the network.
        network: Whose weights have moved.
        momentum: Share of the average that stays.
    """
    pairs = [
        (mean.value, variable.value)
        for mean, variable in zip(
            average.variables, network.variables, strict=True
        )
        if mean.dtype.startswith(("float", "bfloat"))
    ]

    def move(strategy: tf.distribute.Strategy) -> None:
        for mean, variable in pairs:
            strategy.extended.update(
                mean,
                lambda here, new: here.assign_sub(
                    (1 - momentum) * (here - new)
                ),
                args=(variable,),
                group=False,
            )

    replica = tf.distribute.get_replica_context()
    if replica is None:
        move(tf.distribute.get_strategy())
    else:
        replica.merge_call(move)
