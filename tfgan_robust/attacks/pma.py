"""Probability margin attack: ascends a margin of probabilities, not logits."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks import linf
from tfgan_robust.attacks.base import Attack, Problem, State, judge
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.options import check_choice
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn


@dataclasses.dataclass(frozen=True)
class PMA(Attack):
    """PMA in the L-infinity ball (arXiv:2411.15210, section 3).

    The first half of the steps explores by one of the two terms of the
    probability margin, the second half ascends the whole of it. In each half
    the step falls from 2 eps to 0 along half a cosine. The paper takes the
    terms in turn, from restart to restart; here each is an attack.

    Attributes:
        num_steps: Gradient steps.
        explore: "label": by a smaller probability of the label. "rival": by
            a larger one of the best wrong class.

    Raises:
        UsageError: for fewer than one step, or another way to explore.
    """

    num_steps: int = 100
    explore: str = "label"

    def __post_init__(self) -> None:
        check_choice("explore", self.explore, ("label", "rival"))
        if self.num_steps < 1:
            raise UsageError(
                f"`num_steps` must be at least 1. Received: {self.num_steps}."
            )

    @property
    def advances(self) -> int:
        """One for each iterate, the start included."""
        return self.num_steps + 1

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: State
    ) -> State:
        """Judges an iterate and steps to the next, with one gradient."""
        exploring = state.step < self.num_steps // 2
        explored = tf.where(exploring, 0.0, 1.0)
        weights = {"label": tf.ones_like(explored), "rival": explored}
        if self.explore == "rival":
            weights = {"label": explored, "rival": weights["label"]}
        loss = functools.partial(probability_margin, **weights)
        gradient, logits, _ = input_gradient(
            logits_fn, state.images, problem.labels, loss
        )
        ratio = tf.gather(_step_ratios(self.num_steps), state.step)
        size = problem.eps * ratio[:, tf.newaxis, tf.newaxis, tf.newaxis]
        moved = linf.project(
            state.images + size * tf.sign(gradient), problem.images, problem.eps
        )
        here = judge(logits, state.images, problem.labels)
        return State(state.step + 1, here, moved)


def probability_margin(
    labels: tf.Tensor, logits: tf.Tensor, *, rival: tf.Tensor, label: tf.Tensor
) -> tf.Tensor:
    """Computes the probability of the best wrong class less the label's.

    Its gradient is divided by the former probability: in float32 both vanish
    where a network is certain, while their ratio, and with it the direction,
    does not.

    Args:
        labels: Integer [batch].
        logits: float32 [batch, num_classes].
        rival: Weight of the best wrong class, float32 [batch].
        label: Weight of the label, float32 [batch].

    Returns:
        float32 [batch], in [-1, 1].
    """
    classes = logits.shape[-1]
    own = tf.one_hot(labels, classes)
    others = tf.where(own > 0, -float("inf"), logits)
    best = tf.one_hot(tf.argmax(others, axis=-1), classes)
    best_weight, own_weight = rival[:, tf.newaxis], label[:, tf.newaxis]

    @tf.custom_gradient
    def margin(
        logits: tf.Tensor,
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        shares = tf.nn.softmax(logits)
        share = tf.reduce_sum(own * shares, axis=-1, keepdims=True)
        # Probabilities of the other classes over that of the best of them.
        ratios = tf.exp(others - tf.reduce_max(others, axis=-1, keepdims=True))
        total = tf.reduce_sum(ratios, axis=-1, keepdims=True)
        slope = best_weight * (best - shares)
        slope += own_weight * share * (ratios - total * own)
        weights = best_weight * best - own_weight * own
        value = tf.reduce_sum(weights * shares, axis=-1)
        return value, lambda upstream: upstream[:, tf.newaxis] * slope

    return margin(logits)


def _step_ratios(num_steps: int) -> tf.Tensor:
    """Returns each step's size as a multiple of eps, float32."""
    halves = (num_steps // 2, num_steps - num_steps // 2)
    falls = [1 + np.cos(np.pi * np.arange(n) / n) for n in halves if n]
    # Two more entries: the last iterate is looked at, and examples that are
    # done may be in the batch for one advance more.
    return tf.constant([*np.concatenate(falls), 0.0, 0.0], tf.float32)
