"""What a model answers with, found out: logits, or what was made of them.

Attacks need logits. Where the graph of a Keras model ends in a softmax or in
sigmoids, the logits before them are at hand. Elsewhere, as in a SavedModel,
the answers are turned back, and what float32 lost of them stays lost.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.classifiers.endings import last_operation, with_end
from tfgan_robust.classifiers.interface import OUTPUTS
from tfgan_robust.errors import UsageError
from tfgan_robust.identity import probes
from tfgan_robust.networks.logits import LogitsFn

# By the names of operations; the last is TensorFlow's.
SQUASHING = {
    "softmax": "probabilities",
    "sigmoid": "sigmoids",
    "softmax_v2": "probabilities",
}
# Of probabilities and of their sums; bfloat16 rounds them to about 1/256.
_ROUNDING = 1e-2
# Of what the logits give again, once squashed.
_AGREEMENT = 1e-3
# The smallest float32 of full precision: the logarithm stays finite.
_SMALLEST = float(np.finfo(np.float32).tiny)


def before_squashing(model: keras.Model) -> tuple[keras.Model, str]:
    """Removes the softmax or the sigmoids that a graph of layers ends in.

    Args:
        model: Any Keras model that was built.

    Returns:
        A model to the logits, which shares the weights of `model` but for
        those of its last layer, and "probabilities" or "sigmoids", what
        `model` answers with; `model` itself and "logits" where its graph ends
        in neither, or is not all that it computes.
    """
    squashing = last_operation(model)
    if squashing not in SQUASHING:
        return model, "logits"
    answers = SQUASHING[squashing]
    stripped = with_end(model, _linear)
    images = probes(model.input_shape[1:])
    expected = np.asarray(model(images, training=False))
    logits = stripped(images, training=False)
    squash = tf.nn.softmax if answers == "probabilities" else tf.sigmoid
    # Written so that NaN fails too.
    agree = np.abs(squash(logits) - expected).max() <= _AGREEMENT
    return (stripped, answers) if agree else (model, "logits")


def _linear(last: keras.Operation) -> Any:
    """Returns what a last operation answers before it squashes."""
    if not getattr(last, "weights", None):
        return last.input
    config = {**last.get_config(), "activation": "linear"}
    linear = type(last).from_config(config)
    logits = linear(last.input)
    linear.set_weights(last.get_weights())
    return logits


def found_outputs(raw_fn: LogitsFn, image_shape: tuple[int, int, int]) -> str:
    """Tells by its answers to a few images what a model answers with.

    Args:
        raw_fn: From float32 [batch, height, width, channels] in [0, 1] to
            float32 [batch, num_classes].
        image_shape: Height, width, channels.

    Returns:
        One of `OUTPUTS`, but "auto".
    """
    plain = np.stack([np.full(image_shape, v, np.float32) for v in (0, 0.5, 1)])
    images = np.concatenate([probes(image_shape), plain])
    return kind_of(np.asarray(raw_fn(tf.constant(images))))


def kind_of(answers: np.ndarray) -> str:
    """Tells probabilities and sigmoids from logits.

    Args:
        answers: float32 [n, num_classes].

    Returns:
        One of `OUTPUTS`, but "auto".
    """
    lowest, highest = answers.min(), answers.max()
    sums = answers.sum(axis=-1)
    # Written so that NaN is neither.
    within = lowest >= -_ROUNDING and highest <= 1 + _ROUNDING
    if within and np.abs(sums - 1).max() <= _ROUNDING:
        return "probabilities"
    # Logits of a network that was hardly trained may be small and positive.
    likely = lowest >= 0 and 0.5 <= highest <= 1
    between = np.any((answers > 0) & (answers < 1))
    return "sigmoids" if likely and between else "logits"


def to_logits(raw_fn: LogitsFn, outputs: str) -> LogitsFn:
    """Turns answers back into logits.

    Args:
        raw_fn: To a model's own answers, float32 [batch, num_classes].
        outputs: One of `OUTPUTS`, but "auto".

    Returns:
        From images to logits. Softmax of log p is p again; sigmoids are the
        logarithm of odds. Answers that were rounded to 0 or 1 are as if they
        were next to it, and have no gradient.
    """
    turned: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
        "logits": lambda answers: answers,
        "probabilities": _log,
        "sigmoids": lambda answers: _log(answers) - _log(1 - answers),
    }
    return lambda images: turned[outputs](raw_fn(images))


def check_outputs(outputs: str) -> None:
    """Refuses a kind of answers that there is not.

    Raises:
        UsageError: unless it is one of `OUTPUTS`.
    """
    if outputs not in OUTPUTS:
        raise UsageError(
            f"`outputs` must be one of {', '.join(OUTPUTS)}. "
            f"Received: {outputs}."
        )


def _log(shares: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(shares, _SMALLEST))
