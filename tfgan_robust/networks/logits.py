"""A classifier in inference or in training mode, as a pure function."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.errors import UsageError, in_one_line
from tfgan_robust.networks.policy import under_policy
from tfgan_robust.networks.substitutes import substituted
from tfgan_robust.networks.widening import with_float32_variables

# From images in [0, 1] to float32 logits [batch, num_classes], changing no
# variable.
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
    if mode == "training":
        return _stateless(classifier, classifier, training=True)
    return lambda images: tf.cast(
        classifier(images, training=False), tf.float32
    )


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

    Raises:
        UsageError: see `to_float32`.
    """
    if is_float32(classifier):
        return classifier_logits(classifier, mode)
    return _stateless(
        to_float32(classifier), classifier, training=mode == "training"
    )


def followed_logits(classifier: keras.Model, mode: str) -> LogitsFn:
    """Returns what training differentiates with respect to images.

    The network in its own precision, since bfloat16 has the range of float32,
    so that no gradient of an image is lost. float16 does not, and is followed
    as `attacked_logits` are.

    Args:
        classifier: From images to logits.
        mode: See `classifier_logits`.

    Returns:
        From images to float32 logits [batch, num_classes].

    Raises:
        UsageError: see `to_float32`.
    """
    if "float16" in compute_dtypes(classifier):
        return attacked_logits(classifier, mode)
    return classifier_logits(classifier, mode)


def to_float32(model: keras.Model) -> keras.Model:
    """Returns a copy of a model that computes in float32 throughout.

    So are its variables: nothing is lost of what had fewer bits.

    Args:
        model: Any Keras model that was built; one that computes in float32
            already is returned as it is.

    Raises:
        UsageError: if Keras cannot save the model and load it again, or see
            `with_float32_variables`.
    """
    model = with_float32_variables(model)
    if is_float32(model):
        return model
    try:
        copy = _through_file(model)
    # Custom code surfaces as almost anything.
    except Exception as error:
        raise UsageError(
            "A model of lower precision is attacked through a float32 copy, "
            f"and Keras cannot save and load this one ({in_one_line(error)}); "
            "build it in float32."
        ) from None
    set_precision(copy, "float32")
    return copy


def to_bfloat16(model: keras.Model) -> keras.Model:
    """Returns a copy of a model that computes in bfloat16 throughout.

    Its variables are float32, and have the values of now.

    Raises:
        UsageError: if Keras cannot copy it.
    """
    copy = copy_network(
        model,
        "Gradients in bfloat16 need a copy of the classifier",
        "gradient_precision=float32",
    )
    set_precision(copy, "mixed_bfloat16")
    return copy


def set_precision(model: keras.Model, policy: str) -> None:
    """Lets all layers of a model compute by a Keras dtype policy."""
    for layer in all_layers(model):
        layer.dtype_policy = policy


def with_gradients_of(followed: LogitsFn, logits_fn: LogitsFn) -> LogitsFn:
    """Returns a classifier whose gradients are those of another one.

    Args:
        followed: Whose gradients it has.
        logits_fn: Whose logits it has.
    """

    @tf.custom_gradient
    def logits(images: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor, variables: Any = ()) -> Any:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(images)
                answers = followed(images)
            found = tape.gradient(answers, images, output_gradients=upstream)
            # TensorFlow asks for theirs as well, which nobody follows.
            return (found, [None] * len(variables)) if variables else found

        return logits_fn(images), gradient

    return logits


def copy_network(
    model: keras.Model,
    purpose: str = "The average of a classifier's weights needs a copy of it",
    remedy: str = "averaging=0",
) -> keras.Model:
    """Returns a copy of a model, with the weights of now.

    Args:
        model: Any Keras model that was built.
        purpose: Why, for the error.
        remedy: The setting that does without.

    Raises:
        UsageError: if Keras cannot copy it.
    """
    try:
        # A clone, which casts its inputs, would have the policy of now.
        with under_policy(model.dtype_policy):
            try:
                copy = keras.models.clone_model(model)
            except ValueError:  # It is subclassed.
                return _through_file(model)
    # Custom code surfaces as almost anything.
    except Exception as error:
        raise UsageError(
            f"{purpose}, and Keras cannot make one ({in_one_line(error)}); "
            f"set {remedy}."
        ) from None
    copy.set_weights(model.get_weights())
    return copy


def _through_file(model: keras.Model) -> keras.Model:
    # The one way to copy that subclassed models know too.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        with substituted():
            return keras.models.load_model(path, compile=False)


def compute_dtypes(model: keras.Model) -> set[str]:
    """Returns the precisions that layers of a model compute in."""
    return {layer.compute_dtype for layer in all_layers(model)}


def is_float32(model: keras.Model) -> bool:
    """Tells whether every layer computes in float32."""
    return compute_dtypes(model) == {"float32"}


def as_floats(images: np.ndarray) -> np.ndarray:
    """Returns images, uint8 or floating point in [0, 1], as float32."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images.astype(np.float32)


def _stateless(
    network: keras.Model, owner: keras.Model, *, training: bool
) -> LogitsFn:
    """Runs `network` with the variables that `owner` has at each call."""

    def logits(images: tf.Tensor) -> tf.Tensor:
        answers, _ = network.stateless_call(
            owner.trainable_variables,
            owner.non_trainable_variables,
            images,
            training=training,
        )
        return tf.cast(answers, tf.float32)

    return logits


def normalisations(
    model: keras.Model,
) -> list[keras.layers.BatchNormalization]:
    """Returns the layers that keep statistics of batches."""
    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers of a model, those inside of others too."""
    # Keras' only list that goes into wrappers and subclassed models.
    return model._flatten_layers()
