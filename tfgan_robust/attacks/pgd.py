"""Projected gradient descent, equation 2 of the paper."""

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks import l2, linf
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.iterative import (
    Problem,
    Verdict,
    choose_each,
    judge,
    no_verdict,
)
from tfgan_robust.attacks.plan import PROTOCOLS, STEP_RATIO
from tfgan_robust.attacks.result import AttackResult, is_fooled, keep_fooling
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import LOSSES, TARGETED_LOSSES

NORMS: dict[str, ModuleType] = {"linf": linf, "l2": l2}
# Keeps the direction of a zero gradient finite.
_SMALL = 1e-12


class PGDState(NamedTuple):
    """Where a run of `PGD` stands.

    Attributes:
        step: int32 [batch].
        verdict: So far.
        images: What is looked at next.
        velocity: Sum of past gradients; one number without momentum.
    """

    step: tf.Tensor
    verdict: Verdict
    images: tf.Tensor
    velocity: tf.Tensor


@dataclasses.dataclass(frozen=True)
class PGD:
    """PGD step by step; see `pgd` for the same as one function.

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

    @property
    def advances(self) -> int:
        """One for each iterate, the start included."""
        return self.num_steps + 1

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes in one advance."""
        return (1 if self.surrogate is None else 2), 1

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws the start."""
        if not self.random_start:
            return ()
        return (NORMS[self.norm].draw(rng, shape),)

    def begin(self, problem: Problem) -> PGDState:
        """Returns the state at the start."""
        start = problem.images
        if self.random_start:
            offset = problem.eps * problem.noise[0]
            start = NORMS[self.norm].project(
                start + offset, problem.images, problem.eps
            )
        return PGDState(
            tf.zeros_like(problem.labels, tf.int32),
            no_verdict(start, problem.labels),
            start,
            _no_velocity(start, self.momentum),
        )

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: PGDState
    ) -> PGDState:
        """Judges an iterate and steps to the next, with one gradient."""
        gradient, logits = input_gradient(
            self.surrogate or logits_fn,
            state.images,
            problem.labels,
            self._loss(problem.targets),
        )
        if self.surrogate is not None:
            logits = logits_fn(state.images)
        here = judge(logits, state.images, problem.labels)
        if self.protocol == "worst":
            verdict = here
        else:
            last = state.step == self.num_steps
            verdict = choose_each(last, here, state.verdict)
        ratio = self.step_ratio
        if ratio is None:
            ratio = STEP_RATIO / self.num_steps
        step_size = self.step_size
        if step_size is None:
            step_size = ratio * problem.eps
        moved, velocity = _step(
            gradient, state.images, state.velocity, problem.images,
            problem.eps, step_size, self.norm, self.momentum,
        )  # fmt: skip
        return PGDState(state.step + 1, verdict, moved, velocity)

    def _loss(
        self, targets: tf.Tensor
    ) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        if not self.targeted:
            return LOSSES[self.loss]
        loss = TARGETED_LOSSES[self.loss]
        return lambda labels, logits: loss(labels, logits, targets)


def pgd(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    eps: float | tf.Tensor,
    num_steps: int | tf.Tensor,
    step_size: float | tf.Tensor | None = None,
    random_start: bool = True,
    num_restarts: int = 1,
    seed: tf.Tensor | tuple[int, int] = (0, 0),
    protocol: str = "final",
    loss: str = "cross_entropy",
    norm: str = "linf",
    momentum: float = 0.0,
) -> AttackResult:
    """Follows the loss gradient inside a ball around each image.

    Args:
        logits_fn: The classifier in inference mode.
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: Integer [batch].
        eps: Radius on the [0, 1] pixel scale.
        num_steps: Gradient steps of each restart.
        step_size: On the [0, 1] pixel scale; default 2.5 eps / num_steps.
            The paper leaves it open (as printed, equation 2 steps by eps).
        random_start: Whether a restart begins at a random point of the ball
            or at the image.
        num_restarts: Independent runs; more than one needs a random start.
        seed: int32 [2]; the same seed gives the same result, though another
            one with XLA than without.
        protocol: "final": an image is fooled if the last iterate of a restart
            is misclassified. "worst": if any iterate is, or the clean image.
        loss: One of `losses.LOSSES`.
        norm: "linf", or "l2": then eps and step_size are Euclidean, and steps
            follow the normalised gradient.
        momentum: Share of the past gradients that stays (arXiv:1710.06081).

    Returns:
        A fooling image where one was found, else the last iterate, and which
        examples are fooled (arXiv:1706.06083).

    Raises:
        UsageError: for an unknown protocol, loss or norm, or restarts from
            one point.
    """
    _check(protocol, loss, norm, num_restarts, random_start)
    if step_size is None:
        step_size = STEP_RATIO * eps / tf.cast(num_steps, tf.float32)

    def restart(index: tf.Tensor, best: AttackResult) -> AttackResult:
        start = images
        if random_start:
            own = tf.random.experimental.stateless_fold_in(seed, index)
            start = NORMS[norm].random_start(images, eps, own)

        def step(
            count: tf.Tensor, current: tf.Tensor, velocity: tf.Tensor,
            found: AttackResult,
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, AttackResult]:  # fmt: skip
            gradient, logits = input_gradient(
                logits_fn, current, labels, LOSSES[loss]
            )
            if protocol == "worst":
                # The gradient's pass tells about this iterate too.
                here = AttackResult(current, is_fooled(logits, labels))
                found = keep_fooling(found, here)
            moved, velocity = _step(
                gradient, current, velocity, images,
                eps, step_size, norm, momentum,
            )  # fmt: skip
            return count + 1, moved, velocity, found

        nothing = AttackResult(start, tf.zeros_like(labels, tf.bool))
        _, last, _, found = tf.while_loop(
            lambda count, *_: count < num_steps,
            step,
            (tf.constant(0), start, _no_velocity(start, momentum), nothing),
        )
        last = tf.stop_gradient(last)
        end = AttackResult(last, is_fooled(logits_fn(last), labels))
        return keep_fooling(best, keep_fooling(found, end))

    clean = AttackResult(images, tf.zeros_like(labels, tf.bool))
    if protocol == "worst" and random_start:
        clean = AttackResult(images, is_fooled(logits_fn(images), labels))
    if num_restarts == 1:
        return restart(tf.constant(0), clean)
    _, result = tf.while_loop(
        lambda index, _: index < num_restarts,
        lambda index, best: (index + 1, restart(index, best)),
        (tf.constant(0), clean),
    )
    return result


def _step(
    gradient: tf.Tensor,
    current: tf.Tensor,
    velocity: tf.Tensor,
    centre: tf.Tensor,
    eps: float | tf.Tensor,
    step_size: float | tf.Tensor,
    norm: str,
    momentum: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the next iterate and the next velocity."""
    ball = NORMS[norm]
    if momentum > 0:
        mean = tf.reduce_mean(tf.abs(gradient), axis=[1, 2, 3], keepdims=True)
        velocity = momentum * velocity + gradient / (mean + _SMALL)
        gradient = velocity
    moved = current + step_size * ball.steepest(gradient)
    return ball.project(moved, centre, eps), velocity


def _no_velocity(start: tf.Tensor, momentum: float) -> tf.Tensor:
    # Of no size where nobody looks at it.
    return tf.zeros_like(start if momentum > 0 else start[:, :1, :1, :1])


def _check(
    protocol: str, loss: str, norm: str, num_restarts: int, random_start: bool
) -> None:
    for name, value, known in (
        ("protocol", protocol, PROTOCOLS),
        ("loss", loss, LOSSES),
        ("norm", norm, NORMS),
    ):
        if value not in known:
            raise UsageError(
                f"`{name}` must be one of {', '.join(known)}. "
                f"Received: {value}."
            )
    if num_restarts > 1 and not random_start:
        raise UsageError(
            "Restarts without a random start repeat the same attack. "
            f"Received: num_restarts={num_restarts}."
        )
