"""The Euclidean ball, and the pixel range [0, 1].

It has the functions of `linf.py`, but no `random_start`.
"""

import numpy as np
import tensorflow as tf


def project(
    images: tf.Tensor, centre: tf.Tensor, eps: float | tf.Tensor
) -> tf.Tensor:
    """Pulls images into the ball around `centre`, then clips to [0, 1].

    Clipping cannot leave the ball, as it moves every pixel towards the
    centre, which is in [0, 1].

    Args:
        images: float32 [batch, height, width, channels].
        centre: The clean images, shaped alike, in [0, 1].
        eps: Euclidean radius on the [0, 1] pixel scale.

    Returns:
        float32, shaped as `images`.
    """
    change = images - centre
    length = _length(change)
    factor = tf.where(length > eps, tf.math.divide_no_nan(eps, length), 1.0)
    return tf.clip_by_value(centre + factor * change, 0.0, 1.0)


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draws a point of the unit ball, uniformly; float32 of `shape`."""
    direction = rng.standard_normal(shape, np.float32)
    radius = rng.random() ** (1 / direction.size)
    return direction * np.float32(radius / np.linalg.norm(direction))


def steepest(gradient: tf.Tensor) -> tf.Tensor:
    """Returns the unit step that a linear loss grows most along."""
    scaled = _scaled(gradient)
    # The largest entry is 1, or all are 0.
    return scaled / tf.maximum(_norm(scaled), 1.0)


def size(perturbation: tf.Tensor) -> tf.Tensor:
    """Returns the length of each example's change, float32 [batch]."""
    return tf.reshape(_length(perturbation), [-1])


def _length(images: tf.Tensor) -> tf.Tensor:
    return _largest(images) * _norm(_scaled(images))


def _scaled(images: tf.Tensor) -> tf.Tensor:
    # Squares of tiny gradients would underflow.
    return tf.math.divide_no_nan(images, _largest(images))


def _largest(images: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(tf.abs(images), axis=[1, 2, 3], keepdims=True)


def _norm(images: tf.Tensor) -> tf.Tensor:
    squares = tf.reduce_sum(tf.square(images), axis=[1, 2, 3], keepdims=True)
    return tf.sqrt(squares)
