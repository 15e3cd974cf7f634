"""What comes before the last layer must not hide anything from attacks."""

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.linf import project
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.audit.black_box import judge_beyond
from tfgan_robust.audit.context import AuditContext
from tfgan_robust.audit.sampling import first, judge_share
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.reports.verdicts import (
    Finding,
    nothing_to_check,
    unchecked,
)

NUM_STEPS = 20
# Of those that white-box attacks left, so many are enough.
NUM_LEFT = 32
# For the planted examples: images, points drawn inside the ball for each, and
# steps of PGD. The border lies so far from these points towards the planted
# one; what is missed on a sound network is a rare accident.
NUM_PLANTED, NUM_INSIDE, PLANTED_STEPS = 16, 48, 50
INSIDE, BORDER, MISSED_WARN, MISSED_FAIL = 0.9, 0.9, 0.05, 0.25
_NONE = "its last layer is not known"


def inner_layers(context: AuditContext) -> Finding:
    """Attacks on inner layers fool none that attacks on logits left.

    PGD moves what enters the last layer towards that of an image of another
    class (arXiv:2002.08347, section 5), which needs no gradient of the last
    layer or of a loss.
    """
    features_fn = context.classifier.features_fn
    if features_fn is None:
        return nothing_to_check(_NONE)
    left = context.white_box_correct
    looked = first(left, NUM_LEFT)
    correct = np.ones(len(left), bool)
    if looked.any():
        aims = _nearest_of_others(features_fn, context)[looked]
        attacked = _towards(features_fn, context, looked, aims)
        answers = context.logits_fn(attacked).numpy()
        correct[looked] = answers.argmax(axis=-1) == context.labels[looked]
    return judge_beyond(left, looked, correct, "an attack on inner layers")


def planted(context: AuditContext) -> Finding:
    """PGD finds adversarial examples that are known to be there.

    The active test of arXiv:2206.13991: behind the network before its last
    layer stands another last layer for each image, which tells points inside
    the ball from one drawn on its surface. That one is an adversarial example
    by construction, and an attack that fails to find it, or a better one,
    says nothing when it fails elsewhere.
    """
    features_fn = context.classifier.features_fn
    if features_fn is None:
        return nothing_to_check(_NONE)
    count = min(NUM_PLANTED, len(context))
    images = context.pixels(slice(count))
    weights, border, separable = _separators(features_fn, context, images)
    if not separable.any():
        return unchecked("too few features to plant")

    def planted_logits(points: tf.Tensor) -> tf.Tensor:
        score = tf.reduce_sum(_flat(features_fn(points)) * weights, -1) - border
        return tf.stack([tf.zeros_like(score), score], axis=-1)

    context.count((PLANTED_STEPS + 2) * count, PLANTED_STEPS * count)
    found = pgd(
        planted_logits,
        images,
        tf.zeros(count, tf.int64),
        eps=context.eps,
        num_steps=PLANTED_STEPS,
        seed=(context.execution.seed, 1),
    )
    missed = ~(planted_logits(found).numpy()[:, 1] > 0)[separable]
    figures = {
        "planted": float(separable.sum()),
        "found": 1 - missed.mean(),
    }
    return Finding(
        judge_share(missed, warn=MISSED_WARN, fail=MISSED_FAIL),
        figures,
        f"PGD finds {(~missed).sum()} of {len(missed)} adversarial examples "
        "that were planted behind the features",
    )


def _flat(features: tf.Tensor) -> tf.Tensor:
    return tf.reshape(features, [tf.shape(features)[0], -1])


def _in_batches(
    function: LogitsFn, context: AuditContext, images: tf.Tensor
) -> np.ndarray:
    """Maps images to flat features, a batch of the audit at a time."""
    context.count(len(images), 0)
    size = context.execution.batch_size
    parts = [
        _flat(function(images[start : start + size])).numpy()
        for start in range(0, len(images), size)
    ]
    return np.concatenate(parts)


def _nearest_of_others(
    features_fn: LogitsFn, context: AuditContext
) -> np.ndarray:
    """For each image, the features of the nearest one of another class."""
    images = context.pixels()
    features = _in_batches(features_fn, context, images)
    squares = (features**2).sum(axis=-1)
    distance = squares[:, None] + squares[None] - 2 * features @ features.T
    same = context.labels[:, None] == context.labels[None]
    nearest: np.ndarray = np.where(same, np.inf, distance).argmin(axis=-1)
    return features[nearest]


def _towards(
    features_fn: LogitsFn,
    context: AuditContext,
    looked: np.ndarray,
    aims: np.ndarray,
) -> tf.Tensor:
    images = context.pixels(looked)

    def distances(points: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum((_flat(features_fn(points)) - aims) ** 2, axis=-1)

    count = len(images)
    context.count(NUM_STEPS * count, NUM_STEPS * count)
    return pgd(
        lambda points: distances(points)[:, None],
        images,
        tf.constant(context.labels[looked], tf.int64),
        eps=context.eps,
        num_steps=NUM_STEPS,
        seed=(context.execution.seed, 2),
        loss_fn=_falling,
    )


def _falling(labels: tf.Tensor, distances: tf.Tensor) -> tf.Tensor:
    del labels
    return -distances[:, 0]


def _separators(
    features_fn: LogitsFn, context: AuditContext, images: tf.Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each image, a last layer that tells one point from all others.

    Returns:
        Its weights, its border, and whether it tells them apart.
    """
    generator = np.random.default_rng(context.execution.seed)
    eps, shape = context.eps, tuple(images.shape[1:])
    weights, borders, separable = [], [], []
    for image in images:
        inside = generator.uniform(
            -INSIDE * eps, INSIDE * eps, (NUM_INSIDE, *shape)
        )
        surface = eps * generator.choice([-1.0, 1.0], (1, *shape))
        changes = np.concatenate([0 * surface, inside, surface])
        points = image[None] + changes.astype(np.float32)
        points = project(points, image[None], eps)
        features = _in_batches(features_fn, context, points)
        weight, border, apart = _separator(features)
        weights.append(weight)
        borders.append(border)
        separable.append(apart)
    return (
        np.stack(weights).astype(np.float32),
        np.array(borders, np.float32),
        np.array(separable),
    )


def _separator(features: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """The least weights that give the last row 1 and the others 0."""
    features = features.astype(np.float64)
    middle = features[:-1].mean(axis=0)
    wanted = np.zeros(len(features))
    wanted[-1] = 1.0
    solution = np.linalg.lstsq(features - middle, wanted, rcond=1e-6)
    weight: np.ndarray = solution[0]
    scores = features @ weight
    highest, planted_at = scores[:-1].max(), scores[-1]
    border = highest + BORDER * (planted_at - highest)
    size = max(float(np.abs(weight).max()), 1e-30)
    return weight / size, border / size, bool(planted_at > highest + 1e-3)
