"""The sign of each training image's last gradient, a bit for each pixel."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.data.augmentation import Places, move, move_back
from tfgan_robust.errors import UsageError

_BITS = np.uint8(1) << np.arange(8, dtype=np.uint8)


class GradientMemory(keras.layers.Layer):
    """Remembers signs of gradients from one visit of an image to the next.

    Signs are kept as of images that were not moved; before an image's first
    visit they are random. A zero counts as negative.

    Args:
        num_images: How many images there are.
        image_shape: Height, width, channels.
        seed: Of the signs before first visits.

    Raises:
        UsageError: without images, or where several devices train, each of
            which would remember for itself.
    """

    def __init__(
        self,
        num_images: int,
        image_shape: tuple[int, int, int],
        seed: int = 0,
    ) -> None:
        super().__init__(name="gradient_memory", trainable=False)
        if num_images < 1:
            raise UsageError(
                "A method that remembers gradients needs to know how many "
                f"training images there are. Received: {num_images}."
            )
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise UsageError(
                "A method that remembers gradients trains on one device; use "
                "strategy=single, or another formulation."
            )
        self.num_images, self.image_shape = num_images, image_shape
        self.seed = seed
        self._size = -(-int(np.prod(image_shape)) // 8)
        drawn = np.random.default_rng(seed).bytes(num_images * self._size)
        self.bits = self.add_weight(
            shape=(num_images, self._size),
            initializer="zeros",
            dtype="uint8",
            trainable=False,
            name="bits",
        )
        self.bits.assign(
            np.frombuffer(drawn, np.uint8).reshape(num_images, self._size)
        )
        self.built = True

    def read(self, places: Places) -> tf.Tensor:
        """Returns the signs of images as they are moved now.

        Args:
            places: Of the batch.

        Returns:
            float32 [batch, height, width, channels], -1 or 1.
        """
        packed = tf.gather(self.bits.value, places.indices)[..., tf.newaxis]
        positive = tf.bitwise.bitwise_and(packed, _BITS) > 0
        flat = tf.reshape(positive, [tf.shape(packed)[0], -1])
        flat = flat[:, : int(np.prod(self.image_shape))]
        signs = tf.reshape(tf.where(flat, 1.0, -1.0), [-1, *self.image_shape])
        return move(signs, places)

    def write(self, places: Places, gradient: tf.Tensor) -> None:
        """Remembers the signs of a gradient.

        Args:
            places: Of the batch.
            gradient: float32 [batch, height, width, channels].
        """
        positive = move_back(gradient, places) > 0
        rows = tf.shape(positive)[0]
        flat = tf.reshape(positive, [rows, -1])
        missing = 8 * self._size - int(np.prod(self.image_shape))
        flat = tf.reshape(tf.pad(flat, [[0, 0], [0, missing]]), [rows, -1, 8])
        packed = tf.reduce_sum(tf.cast(flat, tf.uint8) * _BITS, -1)
        self.bits.value.scatter_nd_update(places.indices[:, tf.newaxis], packed)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {
            "num_images": self.num_images,
            "image_shape": self.image_shape,
            "seed": self.seed,
        }


def recall(
    memory: GradientMemory | None, images: Any
) -> tuple[tf.Tensor, Any, dict[str, tf.Tensor]]:
    """Takes apart what a batch holds in place of images.

    Args:
        memory: None for a method that does not remember.
        images: The images, with their places for one that does.

    Returns:
        The images, their places (None if they have none), and what the method
        is told of them by name.

    Raises:
        UsageError: for images without places where these are needed.
    """
    if memory is None:
        return images, None, {}
    if not isinstance(images, tuple | list):
        raise UsageError(
            "A method that remembers gradients takes batches of "
            "`training_batches(..., with_places=True)`. Received: images "
            "without their places."
        )
    images, places = images
    return images, places, {"remembered": memory.read(places)}
