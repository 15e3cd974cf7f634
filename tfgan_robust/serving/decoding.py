"""Image files decoded inside a graph, as they are for training.

A server gets files from anybody: one that cannot be read must not cost the
others of its batch their answers, and one from a camera may lie on its side.
"""

import tensorflow as tf

from tfgan_robust.serving.kinds import is_supported
from tfgan_robust.serving.orientation import orientation


def decode_files(
    encoded: tf.Tensor, size: tuple[int, int], channels: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes PNG, JPEG, GIF and uncompressed BMP files of any size.

    Of each, the middle square is resized. Grey is repeated, opacity dropped,
    and of an animation the first image is taken, as in training data.

    Args:
        encoded: string [batch].
        size: Height and width of the images.
        channels: 1 or 3.

    Returns:
        uint8 [batch, height, width, channels], black where a file cannot be
        read; and which can, bool [batch].
    """
    count = tf.size(encoded)
    shape = (*size, channels)

    def decode(
        number: tf.Tensor, content: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return number, _decode(content, size, channels)

    # A graph cannot catch errors; a pipeline can leave them out.
    files = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
    readable = files.map(decode, tf.data.AUTOTUNE).ignore_errors()
    nothing = tf.data.Dataset.from_tensors((count, tf.zeros(shape, tf.uint8)))
    together = nothing.concatenate(readable).batch(tf.cast(count, tf.int64) + 1)
    numbers, images = together.get_single_element()
    places = tf.expand_dims(numbers, axis=-1)
    placed = tf.scatter_nd(
        places, tf.cast(images, tf.int32), (count + 1, *shape)
    )
    read = tf.scatter_nd(places, tf.ones_like(numbers), (count + 1,))
    return tf.cast(placed[:count], tf.uint8), read[:count] > 0


def _decode(
    encoded: tf.Tensor, size: tuple[int, int], channels: int
) -> tf.Tensor:
    # Of nothing, the decoder makes the error that leaves a file out.
    known = tf.where(is_supported(encoded), encoded, "")
    image = tf.io.decode_image(
        known, channels=channels, expand_animations=False
    )
    image = _upright(image, orientation(encoded))
    height, width = tf.unstack(tf.shape(image)[:2])
    side = tf.minimum(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    image = tf.image.resize(image, size, antialias=True)
    # Rounded, since training images are of whole numbers too.
    image = tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)
    return tf.ensure_shape(image, (*size, channels))


def _upright(image: tf.Tensor, turned: tf.Tensor) -> tf.Tensor:
    def among(*numbers: int) -> tf.Tensor:
        return tf.reduce_any(turned == list(numbers))

    image = tf.cond(
        turned > 4, lambda: tf.transpose(image, [1, 0, 2]), lambda: image
    )
    image = tf.cond(
        among(2, 3, 6, 7), lambda: tf.reverse(image, [1]), lambda: image
    )
    return tf.cond(
        among(3, 4, 7, 8), lambda: tf.reverse(image, [0]), lambda: image
    )
