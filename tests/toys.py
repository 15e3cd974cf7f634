"""Small classifiers, and other things that several tests need."""

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import (
    Problem,
    advance_active,
    draw_batch,
    is_done,
)

_PIXELS = 48


def linear_weights():
    """Float32 [48], of no sign near zero, so that rounding flips none."""
    generator = np.random.default_rng(1)
    signs = generator.choice([-1.0, 1.0], _PIXELS)
    return (signs * generator.uniform(0.5, 1.5, _PIXELS)).astype(np.float32)


def linear_logits(images):
    """Two classes for images of 48 pixels: zero, and w (x - 1/2)."""
    flat = tf.reshape(images, [-1, _PIXELS]) - 0.5
    score = tf.linalg.matvec(flat, linear_weights())
    return tf.stack([tf.zeros_like(score), score], axis=-1)


def smooth_network(seed=3):
    """Returns a logits function of images [5, 5, 2], five classes."""
    rng = np.random.default_rng(seed)
    kernel = tf.constant(rng.normal(size=(3, 3, 2, 6)))
    dense = tf.constant(rng.normal(size=(150, 5)))

    def logits_fn(images):
        # In float64, where rounding of batches of other sizes is too small
        # to turn a sign.
        inputs = tf.cast(images, tf.float64)
        hidden = tf.sin(tf.nn.conv2d(2 * inputs, kernel, 1, "SAME"))
        logits = tf.matmul(tf.reshape(hidden, [-1, 150]), dense)
        return tf.cast(logits, tf.float32)

    return logits_fn


def problem_of(attack, images, labels, eps, *, targets=None, seed=0):
    """Returns a problem with what an attack draws for each image.

    Args:
        attack: The attack.
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: Integer [batch].
        eps: Radius.
        targets: Integer [batch]; None for the labels.
        seed: A number, or a seed sequence for each image.
    """
    count, *shape = images.shape
    seeds = seed
    if isinstance(seed, int):
        seeds = [(seed, number) for number in range(count)]
    return Problem(
        tf.constant(images),
        tf.constant(labels),
        tf.constant(labels if targets is None else targets),
        tuple(map(tf.constant, draw_batch(attack, tuple(shape), seeds))),
        tf.constant(eps, tf.float32),
    )


def run_attack(attack, logits_fn, problem):
    """Runs an attack on one batch, in which nobody makes room."""
    return tf.while_loop(
        lambda state: tf.reduce_any(~is_done(attack, state)),
        lambda state: (advance_active(attack, logits_fn, problem, state),),
        (attack.begin(problem),),
    )[0].verdict


def trajectory(attack, logits_fn, problem):
    """Returns all states of a run, the start included, verdicts aside."""
    advance = tf.function(
        lambda state: attack.advance(logits_fn, problem, state), autograph=False
    )
    states = [attack.begin(problem)]
    for _ in range(attack.advances):
        states.append(advance(states[-1]))
    return states
