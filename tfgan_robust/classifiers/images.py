"""Refuses images and labels that a classifier could not be measured on."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.shapes import remedy_for_images

# Of pixels that arithmetic left slightly outside [0, 1].
_ROUNDING = 1e-2


def check_images(
    images: np.ndarray, labels: np.ndarray, classifier: Classifier
) -> None:
    """Checks all images and labels, without asking the classifier.

    Args:
        images: uint8, or float in [0, 1], [n, height, width, channels].
        labels: Integer [n], from 0 to the number of classes less one.
        classifier: Which knows their shape and the classes.

    Raises:
        UsageError: if there are none, or they are anything else.
    """
    if not isinstance(images, np.ndarray):
        raise UsageError(
            "Images are a NumPy array; convert them with np.asarray. "
            f"Received: {type(images).__name__}."
        )
    if images.size == 0:
        raise UsageError("There are no images to measure.")
    _check_shape(images, classifier)
    _check_pixels(images)
    if classifier.grey:
        _check_grey(images)
    _check_labels(np.asarray(labels), len(images), classifier.num_classes)


def check_training_data(source: Any, labels: Any, num_classes: int) -> None:
    """Checks what a model is to be fitted to, or a first batch of it.

    Args:
        source: Images, float32 [n, height, width, channels] in [0, 1], or a
            data set or Keras's `PyDataset` of batches of these, maybe with
            their places, and of labels.
        labels: Integer [n], where these are no part of batches.
        num_classes: Of the model.

    Raises:
        UsageError: for images or labels of another type, shape or range. What
            is neither is left to Keras.
    """
    if isinstance(source, tf.data.Dataset):
        source = next(iter(source.take(1)), (None,))
    elif isinstance(source, keras.utils.PyDataset):
        source = source[0]
    if isinstance(source, tuple | list):
        source, labels = source[0], (*source, None)[1]
    # Images may have their places beside them.
    while isinstance(source, tuple | list) and source:
        source = source[0]
    if not isinstance(source, np.ndarray | tf.Tensor) or len(source) == 0:
        return
    images = np.asarray(source)
    if not np.issubdtype(images.dtype, np.floating):
        raise UsageError(
            "Training images are float32, from 0 to 1. Received: "
            f"{images.dtype}; divide 0 to 255 by 255."
        )
    _check_pixels(images)
    if isinstance(labels, np.ndarray | tf.Tensor):
        _check_labels(np.asarray(labels), len(images), num_classes)


def _check_shape(images: np.ndarray, classifier: Classifier) -> None:
    if images.ndim != 4:
        raise UsageError(
            "Images are [n, height, width, channels]. "
            f"Received: images of shape {images.shape}."
        )
    shape, expected = images.shape[1:], tuple(classifier.image_shape)
    if shape != expected:
        raise UsageError(
            f"The classifier takes images of {expected}. Received: images of "
            f"{shape}{remedy_for_images(expected, shape)}."
        )


def _check_grey(images: np.ndarray) -> None:
    coloured = np.any(images != images[..., :1], axis=(1, 2, 3))
    if coloured.any():
        raise UsageError(
            "The model takes one channel, and how it makes grey of colours is "
            "not known; put that conversion in front of it, and save the "
            f"whole. Received: {np.count_nonzero(coloured)} of {len(images)} "
            "images that are not grey."
        )


def _check_pixels(images: np.ndarray) -> None:
    if images.dtype == np.uint8:
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise UsageError(
            "Images are uint8, from 0 to 255, or float32, from 0 to 1. "
            f"Received: {images.dtype}; images.astype(np.uint8) converts "
            "them if they lie in 0 to 255."
        )
    lowest, highest = float(images.min()), float(images.max())
    if np.isnan(lowest):
        count = np.count_nonzero(np.isnan(images).any(axis=(1, 2, 3)))
        raise UsageError(
            f"Pixels must be numbers. Received: NaN in {count} of "
            f"{len(images)} images."
        )
    if lowest >= 0 and highest <= 1:
        return
    remedy = "undo their normalisation and let the model do it"
    if lowest >= 0 and 2 < highest <= 255:
        remedy = "they look like 0 to 255: divide them by 255"
    elif lowest >= -_ROUNDING and highest <= 1 + _ROUNDING:
        remedy = "cut off what rounding left with np.clip(images, 0, 1)"
    raise UsageError(
        "Floating-point images lie in [0, 1]. Received: pixels from "
        f"{lowest:.9g} to {highest:.9g}; {remedy}."
    )


def _check_labels(labels: np.ndarray, count: int, num_classes: int) -> None:
    if labels.ndim != 1:
        remedy = "convert one-hot labels with labels.argmax(axis=-1)"
        if labels.shape[1:] == (1,):
            remedy = "convert a column with labels[:, 0]"
        raise UsageError(
            "Labels are one class number for each image. "
            f"Received: labels of shape {labels.shape}; {remedy}."
        )
    if len(labels) != count:
        raise UsageError(
            f"Give one label for each image. Received: {count} images and "
            f"{len(labels)} labels."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            "Labels are integers; convert class numbers with "
            f"labels.astype(np.int64). Received: {labels.dtype}."
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= num_classes:
        raise UsageError(
            f"The classifier knows {num_classes} classes, from 0 to "
            f"{num_classes - 1}. Received: labels from {lowest} to {highest}."
        )
