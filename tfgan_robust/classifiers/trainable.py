"""Refuses to train what attacks could not follow."""

import keras
import numpy as np

from tfgan_robust.classifiers.answers import SQUASHING, kind_of
from tfgan_robust.classifiers.endings import last_operation
from tfgan_robust.classifiers.preflight import check_finite
from tfgan_robust.errors import UsageError, in_one_line
from tfgan_robust.networks.shapes import remedy_for_images, shapes_of

_NUM_PROBES = 4


def check_trainable(
    classifier: keras.Model, image_shape: tuple[int, int, int], num_classes: int
) -> None:
    """Checks that a network can be trained as a classifier, and builds it.

    It sees a few images of noise. What trained weights make of images is for
    `preflight.check_classifier` to tell.

    Args:
        classifier: Any Keras model.
        image_shape: Height, width, channels of the training images.
        num_classes: Number of classes of the training data.

    Raises:
        UsageError: unless it takes one batch of such images, as floating
            point, and answers with a finite logit for each class, and has
            variables to train.
    """
    if not classifier.built:
        _build(classifier, image_shape)
    _check_input_kind(classifier)
    _check_fit(classifier, image_shape, num_classes)
    if not classifier.trainable_variables:
        raise UsageError(
            "The classifier has no trainable variables; set trainable=True "
            f"on layers of it. Received: {len(classifier.variables)} frozen."
        )
    _check_logits(classifier, image_shape)


def _build(classifier: keras.Model, image_shape: tuple[int, int, int]) -> None:
    try:
        # Unlike `build`, it builds the parts of a subclassed model.
        classifier(keras.KerasTensor((None, *image_shape)))
    # Whatever the code of a user's model raises.
    except Exception as error:
        raise UsageError(
            f"The classifier cannot be built for images of {image_shape} "
            f"({in_one_line(error)})."
        ) from None


def _check_input_kind(classifier: keras.Model) -> None:
    """Refuses integers, to which Keras would round images without a word."""
    inputs = getattr(classifier, "inputs", None) or ()
    integers = [str(i.dtype) for i in inputs if "int" in str(i.dtype)]
    if integers:
        raise UsageError(
            "The classifier must take images as floating point: as integers, "
            f"those in [0, 1] are black. Received: an input of {integers[0]}; "
            "build it with a float32 Input, and keras.layers.Rescaling(255) "
            "where it expects 0 to 255."
        )


def _check_fit(
    classifier: keras.Model, image_shape: tuple[int, int, int], num_classes: int
) -> None:
    takes, tells_apart = shapes_of(
        classifier,
        sized_by=f"with images = keras.Input({tuple(image_shape)}), save "
        "keras.Model(images, model(images))",
    )
    if takes != tuple(image_shape):
        raise UsageError(
            f"The classifier takes images of {takes}. Received: images of "
            f"{tuple(image_shape)}{remedy_for_images(takes, image_shape)}."
        )
    if tells_apart != num_classes:
        raise UsageError(
            f"The classifier must answer with {num_classes} logits, one for "
            f"each class of the data. Received: {tells_apart}; replace its "
            "last layer."
        )


def _check_logits(
    classifier: keras.Model, image_shape: tuple[int, int, int]
) -> None:
    shape = (_NUM_PROBES, *image_shape)
    probes = np.random.default_rng(0).random(shape, np.float32)
    answers = np.asarray(classifier(probes, training=False), np.float32)
    check_finite(answers)
    squashing = last_operation(classifier)
    if squashing not in SQUASHING and kind_of(answers) == "probabilities":
        squashing = "softmax"
    if squashing in SQUASHING:
        raise UsageError(
            "The classifier must answer with logits, whose gradients do not "
            "vanish; end it without an activation. Received: answers of a "
            f"{squashing}, from {answers.min():.4g} to {answers.max():.4g}."
        )
