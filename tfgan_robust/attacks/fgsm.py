"""The fast gradient sign method, equation 1 of the paper."""

import tensorflow as tf

from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.linf import project
from tfgan_robust.attacks.result import AttackResult, is_fooled, keep_fooling
from tfgan_robust.networks.logits import LogitsFn


def fgsm(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    eps: float | tf.Tensor,
    protocol: str = "final",
) -> AttackResult:
    """Takes one step of size eps along the gradient's sign.

    Args:
        logits_fn: The classifier in inference mode.
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: Integer [batch].
        eps: Radius on the [0, 1] pixel scale.
        protocol: "final": the perturbed image decides. "worst": an image
            that is misclassified while clean counts as fooled too.

    Returns:
        Images within the ball and [0, 1], and whether they fool
        (arXiv:1412.6572).
    """
    gradient, logits = input_gradient(logits_fn, images, labels)
    attacked = project(images + eps * tf.sign(gradient), images, eps)
    end = AttackResult(attacked, is_fooled(logits_fn(attacked), labels))
    if protocol == "final":
        return end
    return keep_fooling(AttackResult(images, is_fooled(logits, labels)), end)
