"""The Euclidean ball, and the pixel range [0, 1].

It has the functions of `linf.py`, but no `random_start`.
"""

import numpy as np
import tensorflow as tf

_MOST_STEPS = 50


def project(
    images: tf.Tensor, centre: tf.Tensor, eps: float | tf.Tensor
) -> tf.Tensor:
    """Moves images to the nearest points of the ball that are in [0, 1].

    These are x + t (image - x), cut off at 0 and 1, with the largest t up to
    1 at which they lie in the ball around x. What is cut off makes room for
    more of the rest, so that t grows from the ball's own in a few steps, each
    of which solves for the pixels that were not cut off before it.

    Args:
        images: float32 [batch, height, width, channels].
        centre: The clean images, x, shaped alike, in [0, 1].
        eps: Euclidean radius on the [0, 1] pixel scale.

    Returns:
        float32, shaped as `images`.
    """
    # Matrices, which TensorFlow reduces and broadcasts much sooner.
    rows, eps = tf.shape(images)[0], tf.convert_to_tensor(eps, images.dtype)
    flat = tf.reshape(centre, [rows, -1])
    change = tf.reshape(images, [rows, -1]) - flat
    room = tf.where(change > 0, 1 - flat, flat)
    size = tf.abs(change)

    def longer(_: tf.Tensor, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        cut = t * size > room
        taken = tf.where(cut, room, 0.0)
        free = _norm(tf.where(cut, 0.0, size))
        left = tf.square(eps) - tf.reduce_sum(tf.square(taken), 1, True)
        solved = tf.math.divide_no_nan(tf.sqrt(tf.maximum(left, 0)), free)
        return t, tf.where(free > 0, tf.maximum(t, tf.minimum(solved, 1)), t)

    length = _length(change)
    start = tf.minimum(tf.math.divide_no_nan(eps, length), 1.0)
    start = tf.where(length > eps, start, 1.0)
    _, t = tf.while_loop(
        lambda before, now: tf.reduce_any(now > before),
        longer,
        (start - 1, start),
        maximum_iterations=_MOST_STEPS,
    )
    moved = tf.clip_by_value(flat + t * change, 0.0, 1.0)
    return tf.reshape(moved, tf.shape(images))


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draws a point of the unit ball, uniformly; float32 of `shape`."""
    direction = rng.standard_normal(shape, np.float32)
    radius = rng.random() ** (1 / direction.size)
    return direction * np.float32(radius / np.linalg.norm(direction))


def draw_surface(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray:
    """Draws a point on the surface of the unit ball; float32 of `shape`."""
    direction = rng.standard_normal(shape, np.float32)
    return direction / np.linalg.norm(direction)


def steepest(gradient: tf.Tensor) -> tf.Tensor:
    """Returns the unit step that a linear loss grows most along."""
    flat = tf.reshape(gradient, [tf.shape(gradient)[0], -1])
    scaled = _scaled(flat)
    # The largest entry is 1, or all are 0.
    step = scaled / tf.maximum(_norm(scaled), 1.0)
    return tf.reshape(step, tf.shape(gradient))


def size(perturbation: tf.Tensor) -> tf.Tensor:
    """Returns the length of each example's change, float32 [batch]."""
    flat = tf.reshape(perturbation, [tf.shape(perturbation)[0], -1])
    return tf.reshape(_length(flat), [-1])


def _length(rows: tf.Tensor) -> tf.Tensor:
    return _largest(rows) * _norm(_scaled(rows))


def _scaled(rows: tf.Tensor) -> tf.Tensor:
    # Squares of tiny gradients would underflow.
    return tf.math.divide_no_nan(rows, _largest(rows))


def _largest(rows: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(tf.abs(rows), axis=1, keepdims=True)


def _norm(rows: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(rows), axis=1, keepdims=True))
