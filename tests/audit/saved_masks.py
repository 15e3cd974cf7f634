"""Masks as people hand them over, beside a file, for `--import`."""

import keras
import numpy as np
import tensorflow as tf

NUM_IMAGES, SHAPE, RADIUS_OF_KNOWN = 64, (16, 16, 3), 0.08
register = keras.saving.register_keras_serializable("masks")


def off_levels(images):
    level = images * 255
    off = tf.reduce_max(tf.abs(level - tf.round(level)), axis=[1, 2, 3])
    return off >= 1e-3


@register
class ByBatch(keras.layers.Layer):
    """Off the clean images, what else is asked counts, too."""

    def call(self, images):
        shifted = images - 0.3 * tf.reduce_mean(images, axis=0)
        off = off_levels(images)[:, None, None, None]
        return tf.where(off, shifted, images)


@register
class OneChannel(keras.layers.Layer):
    """No gradient reaches two of three channels."""

    def call(self, images):
        shown = images * [1.0, 0.0, 0.0]
        return shown + tf.stop_gradient(images - shown)


@register
class Rounds(keras.layers.Layer):
    """Rounds, with the gradient of what does not."""

    def call(self, images):
        few = tf.round(images * 8) / 8
        return images + tf.stop_gradient(few - images)


class Switch(keras.layers.Layer):
    """A natural network's logits, a robust one's where `chosen` says so."""

    def call(self, inputs):
        images, natural, robust = inputs
        return tf.where(self.chosen(images), robust, natural)


@register
class Cache(Switch):
    """Robust on what was asked before in this process, clean images aside."""

    def __init__(self, **settings):
        super().__init__(**settings)
        # No weight, so that no file and no list of variables holds it.
        self.asked = tf.Variable(tf.zeros(NUM_IMAGES))

    def chosen(self, images):
        sums = tf.reduce_sum(images, axis=[1, 2, 3])
        asked = tf.abs(sums[:, None] - self.asked[None]) < 1e-4
        seen = tf.reduce_any(asked, axis=1, keepdims=True)
        place = tf.range(tf.minimum(tf.shape(sums)[0], NUM_IMAGES))
        self.asked.scatter_nd_update(place[:, None], sums[: tf.size(place)])
        return seen & off_levels(images)[:, None]


@register
class Calls(Switch):
    """Robust after some calls."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.calls = tf.Variable(0)

    def chosen(self, images):
        return self.calls.assign_add(1) > 20


@register
class Mode(Switch):
    """Robust in a graph, as attacks ask it, off the clean images."""

    def chosen(self, images):
        off = off_levels(images)[:, None]
        return off & (not tf.executing_eagerly())


@register
class Levels(Switch):
    """Robust between two of 256 levels only."""

    def chosen(self, images):
        return off_levels(images)[:, None]


@register
class Known(Switch):
    """Robust around the images of the evaluation only."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.known = self.add_weight(
            name="known", shape=(NUM_IMAGES, *SHAPE), trainable=False
        )

    def chosen(self, images):
        distance = tf.abs(images[:, None] - self.known[None])
        nearest = tf.reduce_min(tf.reduce_max(distance, axis=[2, 3, 4]), 1)
        return nearest[:, None] <= RADIUS_OF_KNOWN + 1e-3


@register
class Decoy(keras.layers.Layer):
    """Steep waves, which gradients follow, beside the natural network."""

    def call(self, inputs):
        images, natural, _ = inputs
        directions = np.random.default_rng(0).normal(size=(np.prod(SHAPE), 10))
        flat = tf.reshape(images, [-1, np.prod(SHAPE)])
        return natural + tf.sin(5 * flat @ directions.astype(np.float32))


@register
class Shadows(keras.layers.Layer):
    """Ten more classes, just below the likeliest one."""

    def call(self, inputs):
        logits = 30 * inputs[1]
        top = tf.reduce_max(logits, axis=-1, keepdims=True)
        return tf.concat([logits, tf.repeat(top - 0.1, 10, axis=-1)], axis=-1)
