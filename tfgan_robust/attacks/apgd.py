"""Auto-PGD: PGD that halves its steps where it stops gaining."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import (
    NORMS,
    Attack,
    Problem,
    Verdict,
    choose,
    choose_each,
    judge,
)
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.options import check_choice
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import LOSSES, loss_function

# Section 3 of arXiv:2003.01690: the first check comes after 22 % of the
# steps, each later one 3 % sooner, but never sooner than 6 %; a step survives
# a check if 75 % of the moves gained; momentum keeps 25 % of the last move.
_FIRST_CHECK, _SOONER, _SOONEST = 0.22, 0.03, 0.06
_GAINING = 0.75
_ALPHA = 0.75


class APGDState(NamedTuple):
    """As `State`, and what decides on steps; each [batch, ...].

    Attributes:
        previous: Where the last move began.
        best: The iterate of the largest loss, its gradient and its loss.
        step_size: On the [0, 1] pixel scale.
        last_loss: Of the last iterate.
        gains: Moves since the last check that raised the loss, int32.
        checked_loss: The largest loss at the last check.
        reduced: Whether the last check halved the step.
    """

    step: tf.Tensor
    verdict: Verdict
    images: tf.Tensor
    previous: tf.Tensor
    best: tuple[tf.Tensor, tf.Tensor, tf.Tensor]
    step_size: tf.Tensor
    last_loss: tf.Tensor
    gains: tf.Tensor
    checked_loss: tf.Tensor
    reduced: tf.Tensor


@dataclasses.dataclass(frozen=True)
class APGD(Attack):
    """Auto-PGD (arXiv:2003.01690, algorithm 1).

    Attributes:
        num_steps: Gradient steps.
        loss: One of `losses.LOSSES`.
        targeted: Whether `Problem.targets` are aimed at.
        norm: One of `base.NORMS`.

    Raises:
        UsageError: for an unknown loss or norm.
    """

    num_steps: int = 100
    loss: str = "cross_entropy"
    targeted: bool = False
    norm: str = "linf"

    def __post_init__(self) -> None:
        check_choice("loss", self.loss, LOSSES)
        check_choice("norm", self.norm, NORMS)

    @property
    def advances(self) -> int:
        """One for each iterate, the start included."""
        return self.num_steps + 1

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws a start on the surface of the ball, as the authors' code."""
        return (NORMS[self.norm].draw_surface(rng, shape),)

    def begin(self, problem: Problem) -> APGDState:
        """Returns the state at the start."""
        step, verdict, start = super().begin(problem)
        zero = tf.zeros_like(problem.images[:, 0, 0, 0])
        # The authors' code compares the first move with a loss of 0, which
        # every cross-entropy is above.
        certain = self.loss == "cross_entropy"
        return APGDState(
            step,
            verdict,
            start,
            previous=start,
            best=(start, tf.zeros_like(start), zero),
            step_size=zero + 2 * problem.eps,
            last_loss=zero - float("inf") if certain else zero,
            gains=step,
            checked_loss=zero,
            reduced=tf.ones_like(problem.labels, tf.bool),
        )

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: APGDState
    ) -> APGDState:
        """Judges an iterate, checks the step size, and moves."""
        gradient, logits, loss = input_gradient(
            logits_fn,
            state.images,
            problem.labels,
            loss_function(
                self.loss, problem.targets if self.targeted else None
            ),
        )
        here = judge(logits, state.images, problem.labels)
        first = state.step == 0
        better = tf.logical_or(first, loss > state.best[2])
        best = choose_each(better, (state.images, gradient, loss), state.best)
        # The start is no move, so it gains nothing.
        gained = tf.logical_and(loss > state.last_loss, ~first)
        state = state._replace(
            verdict=here,
            best=best,
            last_loss=tf.where(first, state.last_loss, loss),
            gains=state.gains + tf.cast(gained, tf.int32),
            checked_loss=tf.where(first, loss, state.checked_loss),
        )
        return self._move(problem, *self._check(state, gradient))

    def _check(
        self, state: APGDState, gradient: tf.Tensor
    ) -> tuple[APGDState, tf.Tensor]:
        """Halves steps that stopped gaining, and goes back to the best."""
        window = tf.gather(_checks(self.num_steps), state.step)
        due = window > 0
        gains = tf.cast(state.gains, tf.float32)
        oscillates = gains <= _GAINING * tf.cast(window, tf.float32)
        best_images, best_gradient, best_loss = state.best
        stuck = ~state.reduced & (state.checked_loss >= best_loss)
        halve = due & (oscillates | stuck)
        return state._replace(
            images=choose(halve, best_images, state.images),
            step_size=tf.where(halve, state.step_size / 2, state.step_size),
            gains=tf.where(due, 0, state.gains),
            checked_loss=tf.where(due, best_loss, state.checked_loss),
            reduced=tf.where(due, halve, state.reduced),
        ), choose(halve, best_gradient, gradient)

    def _move(
        self, problem: Problem, state: APGDState, gradient: tf.Tensor
    ) -> APGDState:
        ball, current = NORMS[self.norm], state.images
        size = state.step_size[:, tf.newaxis, tf.newaxis, tf.newaxis]
        straight = ball.project(
            current + size * ball.steepest(gradient),
            problem.images,
            problem.eps,
        )
        inertia = current - state.previous
        moved = ball.project(
            current + _ALPHA * (straight - current) + (1 - _ALPHA) * inertia,
            problem.images,
            problem.eps,
        )
        return state._replace(
            step=state.step + 1,
            images=choose(state.step == 0, straight, moved),
            previous=current,
        )


def _checks(num_steps: int) -> tf.Tensor:
    """Moves since the last check if one is due after so many, else 0."""
    # One more entry, for examples that are done.
    table = np.zeros(num_steps + 2, np.int32)
    window = max(int(_FIRST_CHECK * num_steps), 1)
    sooner = max(int(_SOONER * num_steps), 1)
    soonest = max(int(_SOONEST * num_steps), 1)
    moves = window
    while moves <= num_steps:
        table[moves] = window
        window = max(window - sooner, soonest)
        moves += window
    return tf.constant(table)
