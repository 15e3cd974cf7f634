"""The L-infinity ball, and the pixel range [0, 1]."""

import numpy as np
import tensorflow as tf

# Of 255ths: eight of them, as float32 or as people type them (0.03137), are
# eight.
_ROUNDING = 1e-3


def levels_within(eps: float) -> int:
    """Returns how many of 255 levels a pixel may move within a radius.

    Args:
        eps: Radius on the [0, 1] pixel scale.
    """
    return int(eps * 255 + _ROUNDING)


def project(
    images: tf.Tensor, centre: tf.Tensor, eps: float | tf.Tensor
) -> tf.Tensor:
    """Clips images to the ball around `centre`, then to [0, 1].

    Args:
        images: float32 [batch, height, width, channels].
        centre: The clean images, shaped alike, in [0, 1].
        eps: Radius on the [0, 1] pixel scale.

    Returns:
        float32, shaped as `images`.
    """
    in_ball = tf.clip_by_value(images, centre - eps, centre + eps)
    return tf.clip_by_value(in_ball, 0.0, 1.0)


def random_start(
    images: tf.Tensor, eps: float | tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Draws a point of the ball around each image, uniformly.

    Args:
        images: float32 [batch, height, width, channels] in [0, 1].
        eps: Radius on the [0, 1] pixel scale.
        seed: int32 [2]; the same seed draws the same points.

    Returns:
        float32, shaped as `images`, in [0, 1].
    """
    noise = tf.random.stateless_uniform(tf.shape(images), seed, -1.0, 1.0)
    return project(images + eps * noise, images, eps)


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draws a point of the unit ball, uniformly; float32 of `shape`."""
    return 2 * rng.random(shape, np.float32) - 1


def draw_surface(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray:
    """Draws a point on the surface of the unit ball; float32 of `shape`."""
    noise = draw(rng, shape)
    return noise / np.max(np.abs(noise))


def steepest(gradient: tf.Tensor) -> tf.Tensor:
    """Returns the unit step that a linear loss grows most along."""
    return tf.sign(gradient)


def size(perturbation: tf.Tensor) -> tf.Tensor:
    """Returns the largest change of each example, float32 [batch]."""
    return tf.reduce_max(tf.abs(perturbation), axis=[1, 2, 3])
