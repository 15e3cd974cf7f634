"""Image files decoded inside a graph, as they are for training.

A server gets files from anybody: one that cannot be read must not cost the
others of its batch their answers, and one from a camera may lie on its side.
"""

import tensorflow as tf

# EXIF data stand before the pixels; what lies beyond is not looked at.
_HEAD_BYTES = 1 << 17
_ORIENTATION = 0x0112
# More entries than any camera writes into a directory of EXIF data.
_MOST_ENTRIES = 64
_PADDING = 16


def decode_files(
    encoded: tf.Tensor, size: tuple[int, int], channels: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes PNG, JPEG, GIF and BMP files of any size.

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


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Reads how a JPEG file is to be turned, from 1 to 8 (EXIF 2.3, 4.6.4).

    Args:
        encoded: string [], a file.

    Returns:
        int32 []; 1, which is upright, for all that does not say.
    """
    head = tf.strings.substr(encoded, 0, _HEAD_BYTES)
    data = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32)
    data = tf.pad(data, [[0, _PADDING]])
    end = tf.size(data) - _PADDING

    def byte(place: tf.Tensor) -> tf.Tensor:
        return tf.gather(data, tf.clip_by_value(place, 0, end))

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        name = byte(place + 4 + tf.range(6))
        exif = tf.reduce_all(name == [0x45, 0x78, 0x69, 0x66, 0, 0])
        return (byte(place + 1) == 0xE1) & exif

    def is_before(place: tf.Tensor) -> tf.Tensor:
        goes_on = (byte(place) == 0xFF) & (byte(place + 1) != 0xDA)
        return (place < end) & goes_on & ~is_exif(place)

    def following(place: tf.Tensor) -> tuple[tf.Tensor]:
        length = 256 * byte(place + 2) + byte(place + 3)
        return (place + 2 + tf.maximum(length, 2),)

    (segment,) = tf.while_loop(is_before, following, (tf.constant(2),))
    start = segment + 10
    little = byte(start) == 0x49

    def number(place: tf.Tensor, length: int) -> tf.Tensor:
        parts = [byte(place + i) for i in range(length)]
        big = little_end = tf.zeros_like(place)
        for low, high in zip(parts, reversed(parts), strict=True):
            big, little_end = 256 * big + low, 256 * little_end + high
        return tf.where(little, little_end, big)

    directory = start + number(start + 4, 4)
    entries = tf.range(_MOST_ENTRIES)
    places = directory + 2 + 12 * entries
    found = (number(places, 2) == _ORIENTATION) & (
        entries < number(directory, 2)
    )
    value = tf.reduce_max(tf.where(found, number(places + 8, 2), 0))
    valid = is_exif(segment) & (value >= 1) & (value <= 8)
    return tf.where(tf.io.is_jpeg(encoded) & valid, value, 1)


def _decode(
    encoded: tf.Tensor, size: tuple[int, int], channels: int
) -> tf.Tensor:
    image = tf.io.decode_image(
        encoded, channels=channels, expand_animations=False
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
