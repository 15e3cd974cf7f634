"""How strong, saturated and varied the generators' perturbations are."""

import itertools

import tensorflow as tf

from tfgan_robust.attacks.base import judge
from tfgan_robust.attacks.formulations import FORMULATIONS
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.methods.base import Method
from tfgan_robust.networks.logits import LogitsFn

# A tanh output beyond this moves the pixel by practically all of eps.
SATURATED = 0.95


def generator_health(
    method: Method,
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Measures generators on images that the classifier gets correct.

    Args:
        method: One with generators.
        logits_fn: The classifier in inference mode.
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: Integer [batch].

    Returns:
        Scalars: success rates (share of images classified rightly while
        clean that are not when perturbed) of each generator and of FGSM at
        the same eps; share of tanh outputs beyond `SATURATED`; mean absolute
        difference between the perturbations of two generators, and where
        they see noise between two draws of it, in units of eps.
    """
    eps = method.radius
    point = method.prepare(images, labels, tf.constant([0, 0]))
    correct = _correct(logits_fn, images, labels)
    attacked = pgd(
        logits_fn, images, labels, eps=eps, num_steps=1, step_size=eps
    )
    health = {"fgsm_success": _success(correct, logits_fn, attacked, labels)}
    perturbations = []
    for index in range(len(method.generators)):
        name = f"generator_{index}"
        directions, perturbed = method.alone(point, index)
        perturbations.append(perturbed - images)
        health[f"{name}_success"] = _success(
            correct, logits_fn, perturbed, labels
        )
        health[f"{name}_saturation"] = tf.reduce_mean(
            tf.cast(tf.abs(directions) > SATURATED, tf.float32)
        )
        if "noise" in FORMULATIONS[method.settings.formulation]:
            _, again = method.alone(point, index, draw=1)
            health[f"{name}_z_sensitivity"] = _difference(perturbed, again, eps)
    if len(perturbations) > 1:
        pairs = itertools.combinations(perturbations, 2)
        health["generator_difference"] = tf.reduce_mean(
            [_difference(first, second, eps) for first, second in pairs]
        )
    return health


def _correct(
    logits_fn: LogitsFn, images: tf.Tensor, labels: tf.Tensor
) -> tf.Tensor:
    fooled = judge(logits_fn(images), images, labels).fooled
    return 1 - tf.cast(fooled, tf.float32)


def _success(
    correct: tf.Tensor,
    logits_fn: LogitsFn,
    perturbed: tf.Tensor,
    labels: tf.Tensor,
) -> tf.Tensor:
    fooled = correct * (1 - _correct(logits_fn, perturbed, labels))
    return tf.math.divide_no_nan(tf.reduce_sum(fooled), tf.reduce_sum(correct))


def _difference(
    first: tf.Tensor, second: tf.Tensor, eps: float | tf.Tensor
) -> tf.Tensor:
    return tf.reduce_mean(tf.abs(first - second)) / eps
