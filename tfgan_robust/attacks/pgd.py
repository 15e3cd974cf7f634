"""Projected gradient descent, equation 2 of the paper."""

import tensorflow as tf

from tfgan_robust.attack_plan import PROTOCOLS, STEP_RATIO
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.linf import project
from tfgan_robust.attacks.linf import random_start as draw_start
from tfgan_robust.attacks.result import (
    AttackResult,
    LogitsFn,
    is_fooled,
    keep_fooling,
)
from tfgan_robust.errors import UsageError


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
) -> AttackResult:
    """Follows the sign of the loss gradient inside the L-infinity ball.

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

    Returns:
        A fooling image where one was found, else the last iterate, and which
        examples are fooled (arXiv:1706.06083).

    Raises:
        UsageError: for an unknown protocol, or restarts from one point.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(
            f"`protocol` must be one of {', '.join(PROTOCOLS)}. "
            f"Received: {protocol}."
        )
    if num_restarts > 1 and not random_start:
        raise UsageError(
            "Restarts without a random start repeat the same attack. "
            f"Received: num_restarts={num_restarts}."
        )
    if step_size is None:
        step_size = STEP_RATIO * eps / tf.cast(num_steps, tf.float32)

    def restart(index: tf.Tensor, best: AttackResult) -> AttackResult:
        start = images
        if random_start:
            own = tf.random.experimental.stateless_fold_in(seed, index)
            start = draw_start(images, eps, own)
        end, found = _descend(
            logits_fn, images, labels, start, eps, num_steps, step_size,
            remember=protocol == "worst",
        )  # fmt: skip
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


def _descend(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    start: tf.Tensor,
    eps: float | tf.Tensor,
    num_steps: int | tf.Tensor,
    step_size: float | tf.Tensor,
    *,
    remember: bool,
) -> tuple[AttackResult, AttackResult]:
    """Returns the last iterate, and the first that fooled if remembered."""

    def step(
        index: tf.Tensor, current: tf.Tensor, found: AttackResult
    ) -> tuple[tf.Tensor, tf.Tensor, AttackResult]:
        gradient, logits = input_gradient(logits_fn, current, labels)
        if remember:
            # The pass that gives the gradient tells about this iterate too.
            here = AttackResult(current, is_fooled(logits, labels))
            found = keep_fooling(found, here)
        moved = project(current + step_size * tf.sign(gradient), images, eps)
        return index + 1, moved, found

    nothing = AttackResult(start, tf.zeros_like(labels, tf.bool))
    _, last, found = tf.while_loop(
        lambda index, *_: index < num_steps,
        step,
        (tf.constant(0), start, nothing),
    )
    last = tf.stop_gradient(last)
    return AttackResult(last, is_fooled(logits_fn(last), labels)), found
