"""Small classifiers, and other things that several tests need."""

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import (
    Problem,
    advance_active,
    draw_batch,
    is_done,
)
from tfgan_robust.networks.generator import build_generator
from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.networks.vgg import build_vgg

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


def linear_logits_in(mode):
    """Twice those logits, in training mode less what the batch has in common.

    A batch's own statistics put the losses of others into each gradient.
    """

    def logits_fn(images):
        if mode == "training":
            images -= tf.reduce_mean(images, axis=0, keepdims=True)
        return 2 * linear_logits(images)

    return logits_fn


def quadratic(images):
    """Logits whose gradient's sign flips where a pixel crosses one half."""
    distance = tf.reduce_sum(tf.square(images - 0.5), [1, 2, 3])
    return tf.stack([distance, tf.zeros_like(distance)], axis=1)


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


def small_vgg(image_shape=(16, 16, 3), num_classes=10, **settings):
    """Returns the paper's classifier, a sixteenth as wide unless told."""
    defaults = {
        "classifier_width": 1 / 16,
        "dropout_scale": 1.0,
        "batchnorm_momentum": 0.99,
    }
    return build_vgg(image_shape, num_classes, **defaults | settings)


def small_generator(image_shape=(16, 16, 3), input_channels=6, **settings):
    """Returns the paper's generator, a sixteenth as wide unless told."""
    defaults = {"width": 1 / 16, "gradient_skip": 0.0, "name": "generator"}
    return build_generator(image_shape, input_channels, **defaults | settings)


def linear_model(activation=None, dtype=None):
    """Returns a Keras model of three classes for images [4, 4, 3].

    Differences of weights are far from zero, so that rounding flips no sign.
    """
    dense = keras.layers.Dense(3, activation=activation, dtype=dtype)
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(dtype=dtype), dense]
    )
    generator = np.random.default_rng(1)
    levels = generator.permuted(np.tile([-0.2, 0.0, 0.3], (_PIXELS, 1)), axis=1)
    model.set_weights([levels, np.array([0.1, -0.1, 0.0])])
    return model


def linear_batch():
    """Returns six images and labels for `linear_model`."""
    images = np.random.default_rng(0).random((6, 4, 4, 3), np.float32)
    return tf.constant(images), tf.constant(np.arange(6) % 3)


def gradient_signs(logits_fn, images, labels):
    """Returns the signs of the loss gradient, which attacks follow."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = cross_entropy(labels, logits_fn(images))
    return tf.sign(tape.gradient(loss, images))
