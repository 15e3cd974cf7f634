"""How an image file is to be turned, read inside a graph.

A camera stores what it saw as it was held, and says in EXIF data (EXIF 2.3,
4.6.4) how that is to be turned: a JPEG file in a segment before its pixels, a
PNG file in a chunk that may follow them.
"""

import tensorflow as tf

from tfgan_robust.serving.file_bytes import FileBytes
from tfgan_robust.serving.kinds import PNG

_EXIF = b"Exif\0\0"
# More segments, chunks or bytes that fill than a file has before its EXIF
# data, unless it is made to keep a server busy.
_MOST_STEPS = 4096
# More entries than any camera writes into a directory of EXIF data.
_MOST_ENTRIES = 64
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4


def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Reads how a JPEG or a PNG file is to be turned, from 1 to 8.

    Args:
        encoded: string [], a file.

    Returns:
        int32 []; 1, which is upright, for all that does not say.
    """
    file = FileBytes(encoded)
    is_png = tf.strings.substr(encoded, 0, len(PNG)) == PNG
    place, found = tf.cond(
        is_png, lambda: _exif_in_png(file), lambda: _exif_in_jpeg(file)
    )
    # Of a JPEG file's name for it, which some write into PNG files too.
    named = file.has(place, _EXIF)
    value = _value(file, tf.where(named, place + len(_EXIF), place))
    known = (is_png | tf.io.is_jpeg(encoded)) & found
    return tf.where(known & (value >= 1) & (value <= 8), value, 1)


def _exif_in_jpeg(file: FileBytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where EXIF data begin, and whether there are any."""

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        return (file.byte(place + 1) == 0xE1) & file.has(place + 4, _EXIF)

    def is_before(place: tf.Tensor) -> tf.Tensor:
        goes_on = (file.byte(place) == 0xFF) & (file.byte(place + 1) != 0xDA)
        return (place < file.end) & goes_on & ~is_exif(place)

    def following(place: tf.Tensor) -> tuple[tf.Tensor]:
        behind = place + 2 + tf.maximum(file.number(place + 2, 2), 2)
        # Any number of bytes may fill the room before a marker.
        return (tf.where(file.byte(place + 1) == 0xFF, place + 1, behind),)

    (segment,) = tf.while_loop(
        is_before, following, (tf.constant(2),), maximum_iterations=_MOST_STEPS
    )
    return segment + 4, is_exif(segment)


def _exif_in_png(file: FileBytes) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where EXIF data begin, and whether there are any."""

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        return file.has(place + 4, b"eXIf")

    def is_before(place: tf.Tensor) -> tf.Tensor:
        is_last = file.has(place + 4, b"IEND")
        return (place < file.end) & ~is_last & ~is_exif(place)

    def following(place: tf.Tensor) -> tuple[tf.Tensor]:
        length = file.number(place, 4)
        outside = (length < 0) | (length > file.end)
        # Length, name and checksum take 4 bytes each.
        return (place + 12 + tf.where(outside, file.end, length),)

    (chunk,) = tf.while_loop(
        is_before,
        following,
        (tf.constant(len(PNG)),),
        maximum_iterations=_MOST_STEPS,
    )
    return chunk + 8, is_exif(chunk)


def _value(file: FileBytes, start: tf.Tensor) -> tf.Tensor:
    """Returns the orientation that EXIF data state, 0 if they state none."""
    little = file.byte(start) == 0x49
    directory = start + file.number(start + 4, 4, little)
    entries = tf.range(_MOST_ENTRIES)
    places = directory + 2 + 12 * entries
    kinds = file.number(places + 2, 2, little)
    values = tf.where(
        kinds == _LONG,
        file.number(places + 8, 4, little),
        file.number(places + 8, 2, little),
    )
    stated = (
        (file.number(places, 2, little) == _ORIENTATION)
        & ((kinds == _SHORT) | (kinds == _LONG))
        & (entries < file.number(directory, 2, little))
    )
    return tf.reduce_max(tf.where(stated, values, 0))
