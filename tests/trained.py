"""Small networks that were trained on digits, within seconds."""

import keras
import tensorflow as tf

from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.data.batches import training_batches
from tfgan_robust.networks.losses import cross_entropy


def build_network():
    """A network for digits of 16 x 16 pixels, always the same."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, 2, padding="same", activation="relu"),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def train(model, split, *, steps, eps=0.0):
    """Trains a model in place, attacked by PGD-3 if there is a radius.

    Args:
        model: From float32 images in [0, 1] to logits.
        split: Images and labels.
        steps: Of Adam, on batches of 64.
        eps: L-infinity radius at the end; it grows over the first half.

    Returns:
        The model.
    """
    adam = keras.optimizers.Adam(3e-3)

    @tf.function(autograph=False)
    def step(images, labels, seed, radius):
        if eps > 0:
            images = pgd(
                model, images, labels, eps=radius, num_steps=3, seed=seed
            )
        with tf.GradientTape() as tape:
            logits = tf.cast(model(images, training=True), tf.float32)
            loss = tf.reduce_mean(cross_entropy(labels, logits))
        gradient = tape.gradient(loss, model.trainable_variables)
        adam.apply(gradient, model.trainable_variables)

    batches = training_batches(split, batch_size=64, seed=0, max_shift=0)
    for index, (images, labels) in enumerate(batches.take(steps)):
        radius = tf.constant(eps * min(1, 2 * index / steps), tf.float32)
        step(images, labels, tf.constant([0, index]), radius)
    return model
