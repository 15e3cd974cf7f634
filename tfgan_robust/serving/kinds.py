"""Which image files are seen in serving as they are in training.

TensorFlow decodes others as well: WebP and JPEG XL, but lying as the camera
was held, and BMP files of a palette, whose numbers it takes for colours.
"""

import tensorflow as tf

from tfgan_robust.serving.file_bytes import FileBytes

PNG = b"\x89PNG\r\n\x1a\n"
_ANY = (b"\xff\xd8\xff", PNG, b"GIF8")
_BMP = b"BM"
# Of a BMP file: places in its header, and what has to be there. Files with
# the older header of 12 bytes say elsewhere how many bits a pixel has.
_HEADER_SIZE, _BITS, _COMPRESSION, _PIXELS = 14, 28, 30, 34
_SMALLEST_HEADER, _COLOURS, _NONE = 40, (24, 32), 0


def is_supported(encoded: tf.Tensor) -> tf.Tensor:
    """Tells by its first bytes whether a file is a JPEG, PNG, GIF or BMP file.

    Of BMP files only those that hold colours, uncompressed, are meant.

    Args:
        encoded: string [], a file.

    Returns:
        bool [].
    """
    head = FileBytes(tf.strings.substr(encoded, 0, _PIXELS))
    start, little = tf.constant(0), tf.constant(True)

    def number(place: int, length: int) -> tf.Tensor:
        return head.number(tf.constant(place), length, little)

    bits = number(_BITS, 2)
    is_bmp = (
        head.has(start, _BMP)
        & (number(_HEADER_SIZE, 4) >= _SMALLEST_HEADER)
        & tf.reduce_any(bits == list(_COLOURS))
        & (number(_COMPRESSION, 4) == _NONE)
    )
    others = [head.has(start, mark) for mark in _ANY]
    return is_bmp | tf.reduce_any(others)
