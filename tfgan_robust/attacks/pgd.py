"""Projected gradient descent, equation 2 of the paper.

`pgd` is for training and validation, `PGD` for evaluation.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks import linf
from tfgan_robust.attacks.base import (
    NORMS,
    Attack,
    Problem,
    Verdict,
    choose_each,
    judge,
)
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.options import PROTOCOLS, STEP_RATIO, check_choice
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import LOSSES, LossFn, log_odds, loss_function

# Keeps the direction of a zero gradient finite.
_SMALL = 1e-12


class PGDState(NamedTuple):
    """As `State`, and the velocity.

    Attributes:
        velocity: Sum of past gradients; one number without momentum.
    """

    step: tf.Tensor
    verdict: Verdict
    images: tf.Tensor
    velocity: tf.Tensor


@dataclasses.dataclass(frozen=True)
class PGD(Attack):
    """PGD as it is evaluated with (arXiv:1706.06083).

    Attributes:
        num_steps: Gradient steps.
        step_size: In the units of the ball; None for a multiple of eps.
        step_ratio: That multiple; None for 2.5 / num_steps.
        loss: One of `losses.LOSSES`.
        targeted: Whether `Problem.targets` are aimed at.
        norm: One of `NORMS`.
        momentum: Share of the past gradients that stays (arXiv:1710.06081).
        random_start: Whether to begin at a random point of the ball.
        protocol: "worst": every iterate is judged. "final": the last alone.
        surrogate: Whose gradients are followed; None for the attacked
            network's own.

    Raises:
        UsageError: for an unknown loss, norm or protocol.
    """

    num_steps: int
    step_size: float | None = None
    step_ratio: float | None = None
    loss: str = "cross_entropy"
    targeted: bool = False
    norm: str = "linf"
    momentum: float = 0.0
    random_start: bool = True
    protocol: str = "worst"
    surrogate: LogitsFn | None = None

    def __post_init__(self) -> None:
        check_choice("loss", self.loss, LOSSES)
        check_choice("norm", self.norm, NORMS)
        check_choice("protocol", self.protocol, PROTOCOLS)

    @property
    def advances(self) -> int:
        """One for each iterate, the start included."""
        return self.num_steps + 1

    @property
    def passes(self) -> tuple[int, int]:
        """A surrogate has one forward pass of its own."""
        return (1 if self.surrogate is None else 2), 1

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the start if it is random."""
        return super().draw(rng, shape) if self.random_start else ()

    def begin(self, problem: Problem) -> PGDState:
        """Returns the state at the start."""
        step, verdict, start = super().begin(problem)
        # Of no size where nobody looks at it.
        like = start if self.momentum > 0 else start[:, :1, :1, :1]
        return PGDState(step, verdict, start, tf.zeros_like(like))

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: PGDState
    ) -> PGDState:
        """Judges an iterate and steps to the next, with one gradient."""
        gradient, logits, _ = input_gradient(
            self.surrogate or logits_fn,
            state.images,
            problem.labels,
            loss_function(
                self.loss, problem.targets if self.targeted else None
            ),
        )
        if self.surrogate is not None:
            logits = logits_fn(state.images)
        verdict = judge(logits, state.images, problem.labels)
        if self.protocol == "final":
            last = state.step == self.num_steps
            verdict = choose_each(last, verdict, state.verdict)
        moved, velocity = self._step(problem, state, gradient)
        return PGDState(state.step + 1, verdict, moved, velocity)

    def _step(
        self, problem: Problem, state: PGDState, gradient: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the next iterate and the next velocity."""
        ball, velocity = NORMS[self.norm], state.velocity
        if self.momentum > 0:
            mean = tf.reduce_mean(
                tf.abs(gradient), axis=[1, 2, 3], keepdims=True
            )
            velocity = self.momentum * velocity + gradient / (mean + _SMALL)
            gradient = velocity
        step_size = self.step_size
        if step_size is None:
            ratio = self.step_ratio
            if ratio is None:
                ratio = STEP_RATIO / self.num_steps
            step_size = ratio * problem.eps
        moved = state.images + step_size * ball.steepest(gradient)
        return ball.project(moved, problem.images, problem.eps), velocity


def pgd(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    eps: float | tf.Tensor,
    num_steps: int | tf.Tensor,
    step_size: float | tf.Tensor | None = None,
    seed: tf.Tensor | tuple[int, int] | None = None,
    start: tf.Tensor | None = None,
    loss_fn: LossFn = log_odds,
    in_graph: bool = True,
) -> tf.Tensor:
    """Follows the sign of a loss's gradient in the L-infinity ball.

    One step of size `eps` from the images is FGSM, equation 1 of the paper
    (arXiv:1412.6572).

    Args:
        logits_fn: The classifier.
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: Integer [batch].
        eps: Radius on the [0, 1] pixel scale.
        num_steps: Gradient steps; a number of Python's unless `in_graph`.
        step_size: On the [0, 1] pixel scale; default 2.5 eps / num_steps.
            The paper leaves it open (as printed, equation 2 steps by eps).
        seed: int32 [2], of a random start; the same seed gives the same
            result, though another one with XLA than without. None begins at
            the images.
        start: Where to begin instead, in the ball, shaped as `images`.
        loss_fn: From labels and logits to a loss for each example. The
            default has the direction of the cross-entropy's gradient.
        in_graph: Whether the steps are a loop of the graph. Several devices
            sum no statistics within one: where the classifier is in training
            mode, steps must be laid out one by one.

    Returns:
        The perturbed images, float32, shaped as `images`, in [0, 1].
    """
    if step_size is None:
        step_size = STEP_RATIO * eps / tf.cast(num_steps, tf.float32)
    if start is None:
        start = images
    if seed is not None:
        # As the first of several restarts, which weights of old depend on.
        own = tf.random.experimental.stateless_fold_in(seed, 0)
        start = linf.random_start(images, eps, own)

    def step(current: tf.Tensor) -> tf.Tensor:
        gradient, _, _ = input_gradient(logits_fn, current, labels, loss_fn)
        moved = current + step_size * tf.sign(gradient)
        return linf.project(moved, images, eps)

    if in_graph:
        _, last = tf.while_loop(
            lambda count, _: count < num_steps,
            lambda count, current: (count + 1, step(current)),
            (tf.constant(0), start),
        )
    else:
        last = start
        for _ in range(num_steps):
            last = step(last)
    return tf.stop_gradient(last)
