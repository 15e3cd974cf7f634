"""A SavedModel that TensorFlow Serving can serve, over REST too.

Its signatures:

  serving_default  images: float32 [batch, height, width, channels] in [0, 1]
  serve_uint8      images: uint8 [batch, height, width, channels]
  serve_image      image_bytes: string [batch], image files of any size
  labels           class_numbers: int64 [batch]; labels: string [batch], empty
                   for a number that no class has

All but `labels` answer with `logits` and `probabilities`, float32
[batch, num_classes]; `serve_image` with `status` too, string [batch]: "ok", or
why a file has no answer, whose logits are NaN then. The class names have a
signature of their own because some runtimes refuse a default signature with
strings in it.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.errors import TfganRobustError
from tfgan_robust.networks.shapes import shapes_of
from tfgan_robust.serving.decoding import decode_files
from tfgan_robust.serving.warmup import FILE, write_requests

OK, UNREADABLE = "ok", "not an image that can be read"


def write(
    classifier: keras.Model, class_names: Sequence[str], folder: Path
) -> list[str]:
    """Writes a classifier with the signatures that this module lists.

    Args:
        classifier: From float32 [batch, height, width, channels] in [0, 1]
            to logits [batch, num_classes].
        class_names: Name of each logit.
        folder: Where to write.

    Returns:
        The names of the signatures.

    Raises:
        TfganRobustError: if the disk refuses it.
    """
    image_shape, _ = shapes_of(classifier)
    module = _Servable(classifier, class_names)
    signatures = module.signatures()
    try:
        tf.saved_model.save(module, str(folder), signatures)
        extra = folder / "assets.extra"
        extra.mkdir(exist_ok=True)
        write_requests(extra / FILE, _requests(image_shape))
    except (tf.errors.OpError, OSError) as error:
        raise TfganRobustError(f"Cannot write to {folder}: {error}") from None
    return list(signatures)


def answers(folder: Path) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Loads what `write` wrote.

    Returns:
        By the name of each signature that classifies, a function from uint8
        images to logits.
    """
    loaded = tf.saved_model.load(str(folder))

    def logits(
        name: str, key: str, prepare: Callable[[np.ndarray], Any],
        images: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        # By `loaded`: signatures do not keep their variables alive.
        signature = loaded.signatures[name]
        found: np.ndarray = signature(**{key: prepare(images)})[
            "logits"
        ].numpy()
        return found

    return {
        name: functools.partial(logits, name, key, prepare)
        for name, key, prepare in (
            ("serving_default", "images", _floats),
            ("serve_uint8", "images", tf.constant),
            ("serve_image", "image_bytes", _files),
        )
    }


def _floats(images: np.ndarray) -> tf.Tensor:
    return tf.cast(images, tf.float32) / 255.0


def _files(images: np.ndarray) -> tf.Tensor:
    return tf.stack([tf.io.encode_png(image) for image in images])


def _requests(
    image_shape: tuple[int, int, int],
) -> dict[str, dict[str, tf.Tensor]]:
    """One grey image for each signature that classifies."""
    image = np.full((1, *image_shape), 128, np.uint8)
    return {
        "serving_default": {"images": _floats(image)},
        "serve_uint8": {"images": tf.constant(image)},
        "serve_image": {"image_bytes": _files(image)},
    }


class _Servable(tf.Module):
    """The functions and variables of the SavedModel, free of Keras."""

    def __init__(
        self, classifier: keras.Model, class_names: Sequence[str]
    ) -> None:
        super().__init__()
        # Kept in a closure: as an attribute, all of the model's layers
        # would be written as objects that only Keras understands.
        self._logits = lambda images: classifier(images, training=False)
        self._weights = [weight.value for weight in classifier.weights]
        self._class_names = tuple(class_names)
        (height, width, self._channels), _ = shapes_of(classifier)
        self._size = height, width

    def signatures(self) -> dict[str, Any]:
        """Returns the traced functions by the name of their signature."""
        shape = (None, *self._size, self._channels)
        return {
            "serving_default": self.classify.get_concrete_function(
                tf.TensorSpec(shape, tf.float32, "images")
            ),
            "serve_uint8": self.classify_uint8.get_concrete_function(
                tf.TensorSpec(shape, tf.uint8, "images")
            ),
            "serve_image": self.classify_files.get_concrete_function(
                tf.TensorSpec([None], tf.string, "image_bytes")
            ),
            "labels": self.labels.get_concrete_function(
                tf.TensorSpec([None], tf.int64, "class_numbers")
            ),
        }

    @tf.function
    def classify(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(images)[0]
        # Of no image at all, TensorFlow's convolutions on a CPU make an error.
        filled = tf.pad(
            images, [[0, tf.maximum(1 - count, 0)], [0, 0], [0, 0], [0, 0]]
        )
        logits = tf.cast(self._logits(filled), tf.float32)[:count]
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    @tf.function
    def classify_uint8(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.classify(tf.cast(images, tf.float32) / 255.0)

    @tf.function
    def classify_files(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images, readable = decode_files(image_bytes, self._size, self._channels)
        answers = {
            name: tf.where(readable[:, tf.newaxis], answer, np.nan)
            for name, answer in self.classify_uint8(images).items()
        }
        return {**answers, "status": tf.where(readable, OK, UNREADABLE)}

    @tf.function
    def labels(self, class_numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        count = len(self._class_names)
        names = tf.constant((*self._class_names, ""), tf.string)
        known = (class_numbers >= 0) & (class_numbers < count)
        return {
            "labels": tf.gather(names, tf.where(known, class_numbers, count))
        }
