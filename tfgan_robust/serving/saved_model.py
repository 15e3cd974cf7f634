"""Builds a SavedModel that TensorFlow Serving can serve, and checks it.

The signatures of the SavedModel:

  serving_default  images: float32 [batch, height, width, channels] in [0, 1]
  serve_uint8      images: uint8 [batch, height, width, channels]
  serve_image      image_bytes: string [batch], PNG or JPEG files of any size
  labels           no input; labels: string [num_classes]

All but `labels` answer with `logits` and `probabilities`, float32
[batch, num_classes]. The class names have a signature of their own because
some runtimes refuse a default signature with strings in it.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.networks.shapes import shapes_of

_PROBES = 3
# Of the largest logit: the graph fuses and reorders what Keras runs layer by
# layer, and a deep network amplifies the rounding.
_TOLERANCE = 1e-4


def write_saved_model(
    classifier: keras.Model, class_names: Sequence[str], path: str | Path
) -> list[str]:
    """Writes a classifier with the signatures that this module lists.

    Args:
        classifier: From float32 [batch, height, width, channels] in [0, 1]
            to logits [batch, num_classes].
        class_names: Name of each logit.
        path: Folder to write.

    Returns:
        The names of the signatures.

    Raises:
        UsageError: if there is not one name for each logit.
        TfganRobustError: if the disk refuses it.
    """
    _, num_classes = shapes_of(classifier)
    if len(class_names) != num_classes:
        raise UsageError(
            f"The classifier has {num_classes} outputs and needs as many "
            f"class names. Received: {len(class_names)} names."
        )
    module = _Servable(classifier, class_names)
    signatures = module.signatures()
    try:
        tf.saved_model.save(module, str(path), signatures)
    except (tf.errors.OpError, OSError) as error:
        raise TfganRobustError(f"Cannot write to {path}: {error}") from None
    return list(signatures)


def check_saved_model(path: str | Path, classifier_file: str | Path) -> float:
    """Reloads a SavedModel in a fresh process and compares its answers.

    The new process shows that the files suffice: nothing that this process
    holds in memory can stand in for something that was not written.

    Args:
        path: Folder of the SavedModel.
        classifier_file: The `.keras` file that it was made from.

    Returns:
        The largest absolute difference between its logits and Keras'.

    Raises:
        TfganRobustError: if it cannot be loaded or answers otherwise.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path),
        # This process may hold all memory of the GPU, and its TF32 products
        # would blur the comparison.
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(path), str(classifier_file)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise TfganRobustError(
            f"The SavedModel failed its check in a fresh process: {reason}"
        )
    return float(done.stdout.split()[-1])


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
        (*self._size, self._channels), _ = shapes_of(classifier)

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
            "labels": self.labels.get_concrete_function(),
        }

    @tf.function
    def classify(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.cast(self._logits(images), tf.float32)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    @tf.function
    def classify_uint8(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.classify(tf.cast(images, tf.float32) / 255.0)

    @tf.function
    def classify_files(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            self._decode, image_bytes, fn_output_signature=tf.uint8
        )
        return self.classify_uint8(images)

    @tf.function
    def labels(self) -> dict[str, tf.Tensor]:
        return {"labels": tf.constant(self._class_names, tf.string)}

    def _decode(self, encoded: tf.Tensor) -> tf.Tensor:
        # Grey is repeated and opacity dropped, as in the training data.
        image = tf.io.decode_image(
            encoded, channels=self._channels, expand_animations=False
        )
        image = tf.image.resize(image, self._size, antialias=True)
        # Rounded, since training images are of whole numbers too.
        image = tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)
        return tf.ensure_shape(image, [*self._size, self._channels])


def _largest_difference(path: str, classifier_file: str) -> float:
    """Compares the logits of all signatures with those of Keras.

    Raises:
        TfganRobustError: if they differ by more than rounding.
    """
    classifier = load_float32(classifier_file)
    image_shape, _ = shapes_of(classifier)
    signatures = tf.saved_model.load(path).signatures
    images = np.random.default_rng(0).integers(
        256, size=(_PROBES, *image_shape), dtype=np.uint8
    )
    probes: dict[str, dict[str, np.ndarray]] = {
        "serving_default": {"images": (images / 255).astype(np.float32)},
        "serve_uint8": {"images": images},
        "serve_image": {
            "image_bytes": np.array(
                [tf.io.encode_png(image).numpy() for image in images],
                dtype=object,
            )
        },
    }
    expected = classifier(
        probes["serving_default"]["images"], training=False
    ).numpy()
    tolerance = _TOLERANCE * max(1.0, np.abs(expected).max())
    differences = []
    for name, probe in probes.items():
        for count in (1, _PROBES):
            answer = signatures[name](
                **{key: tf.constant(v[:count]) for key, v in probe.items()}
            )
            difference = np.abs(answer["logits"] - expected[:count]).max()
            # Written so that NaN fails too.
            if not difference <= tolerance:
                raise TfganRobustError(
                    f"the logits of signature {name} differ from Keras' by "
                    f"{difference:.3g}, more than {tolerance:.3g}."
                )
            differences.append(float(difference))
    return max(differences)


if __name__ == "__main__":
    try:
        print(_largest_difference(*sys.argv[1:]))
    except TfganRobustError as problem:
        sys.exit(str(problem))
