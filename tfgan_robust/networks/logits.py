"""A classifier in inference or in training mode, as a pure function."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

# From images in [0, 1] to float32 logits [batch, num_classes], in inference
# mode, changing no variable.
LogitsFn = Callable[[tf.Tensor], tf.Tensor]


def classifier_logits(classifier: keras.Model, mode: str) -> LogitsFn:
    """Returns a classifier as a function that changes none of its variables.

    Args:
        classifier: From images to logits.
        mode: "inference", or "training": dropout and batch statistics, whose
            effect on moving averages and seeds is thrown away.

    Returns:
        From images to float32 logits [batch, num_classes].
    """

    def inference(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(classifier(images, training=False), tf.float32)

    def training(images: tf.Tensor) -> tf.Tensor:
        return _stateless(classifier, classifier, images, training=True)

    return inference if mode == "inference" else training


def attacked_logits(classifier: keras.Model, mode: str) -> LogitsFn:
    """Returns what attacks differentiate: `classifier_logits` in float32.

    A network of lower precision is followed through a float32 twin that
    computes with its variables, since half precision loses small gradients,
    and with them the signs that attacks need.

    Args:
        classifier: From images to logits.
        mode: See `classifier_logits`.

    Returns:
        From images to float32 logits [batch, num_classes].
    """
    if is_float32(classifier):
        return classifier_logits(classifier, mode)
    twin = keras.models.clone_model(
        classifier, clone_function=_as_float32, recursive=True
    )

    def logits(images: tf.Tensor) -> tf.Tensor:
        return _stateless(twin, classifier, images, training=mode == "training")

    return logits


def to_float32(model: keras.Model) -> keras.Model:
    """Returns a copy of a model that computes in float32 throughout.

    Variables are float32 whatever the precision was, so that nothing is
    lost; only the activations get more precise.
    """
    if is_float32(model):
        return model
    copy = keras.models.clone_model(
        model, clone_function=_as_float32, recursive=True
    )
    copy.set_weights(model.get_weights())
    return copy


def is_float32(model: keras.Model) -> bool:
    """Tells whether every layer computes in float32."""
    return all(
        layer.compute_dtype == "float32"
        and (not isinstance(layer, keras.Model) or is_float32(layer))
        for layer in model.layers
    )


def _stateless(
    network: keras.Model,
    variables: keras.Model,
    images: tf.Tensor,
    *,
    training: bool,
) -> tf.Tensor:
    """Runs `network` with the variables of a model of the same structure."""
    logits, _ = network.stateless_call(
        variables.trainable_variables,
        variables.non_trainable_variables,
        images,
        training=training,
    )
    return tf.cast(logits, tf.float32)


def _as_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})


def as_floats(images: np.ndarray) -> np.ndarray:
    """Returns images as float32 in [0, 1]."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images.astype(np.float32)
