"""The bytes of a file, read inside a graph."""

import tensorflow as tf

# No place that is looked at lies farther behind another one.
_PADDING = 16


class FileBytes:
    """The bytes of a file; behind its end there are zeros.

    Attributes:
        end: How many there are.
    """

    def __init__(self, encoded: tf.Tensor) -> None:
        self._data = tf.pad(
            tf.io.decode_raw(encoded, tf.uint8), [[0, _PADDING]]
        )
        self.end = tf.size(self._data) - _PADDING

    def byte(self, place: tf.Tensor) -> tf.Tensor:
        """Returns those at some places, int32."""
        inside = tf.clip_by_value(place, 0, self.end)
        return tf.cast(tf.gather(self._data, inside), tf.int32)

    def has(self, place: tf.Tensor, text: bytes) -> tf.Tensor:
        """Tells whether a text stands at a place."""
        here = self.byte(place + tf.range(len(text)))
        return tf.reduce_all(here == list(text))

    def number(
        self, place: tf.Tensor, length: int, little: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns a number of some bytes, negative if int32 has none such.

        Args:
            place: Where it begins.
            length: Of bytes, up to 4.
            little: Whether the lowest byte comes first; None for no.
        """
        parts = [self.byte(place + i) for i in range(length)]
        big = little_end = tf.zeros_like(place)
        for low, high in zip(parts, reversed(parts), strict=True):
            big, little_end = 256 * big + low, 256 * little_end + high
        return big if little is None else tf.where(little, little_end, big)
