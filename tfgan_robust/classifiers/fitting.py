"""Puts other people's models into the form that attacks take.

That form is float32 [batch, height, width, channels] of one size, and one
number for each of two or more classes. What models take or give beside that,
and what is done about it, is in the table of docs/models.md.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tfgan_robust.classifiers.answers import (
    SQUASHING,
    before_squashing,
    kind_of,
)
from tfgan_robust.classifiers.endings import last_operation
from tfgan_robust.classifiers.interface import KNOWN, InputRange
from tfgan_robust.errors import UsageError, in_one_line
from tfgan_robust.identity import probes
from tfgan_robust.networks.shapes import CHANNELS, answers_of, input_shape_of

ImageShape = tuple[int, int, int]
# Pixels of an integer input.
_BYTES: InputRange = KNOWN[0]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A model in the form that attacks take.

    Attributes:
        model: The model itself where nothing was to do, else another one
            around it or of its layers.
        notes: What was done, a line each.
        input_range: The pixels that it takes, if its input says so.
        grey: Whether it sees the mean of equal channels.
    """

    model: keras.Model
    notes: tuple[str, ...] = ()
    input_range: InputRange | None = None
    grey: bool = False


def fit(
    model: keras.Model, image_shape: Callable[[], ImageShape] | None = None
) -> Fitted:
    """Puts a model into the form that attacks take.

    Args:
        model: Any Keras model that was built.
        image_shape: Returns height, width and channels of the images, asked
            if the model leaves its size open or unsaid, or takes one channel;
            None if they are not known.

    Returns:
        The model, and what was done.

    Raises:
        UsageError: for what cannot be brought into that form.
    """
    fitted = _shaped(Fitted(model), image_shape)
    fitted = _float_input(_one_output(fitted))
    fitted = _channels_last(fitted)
    fitted = _sized(fitted, image_shape)
    fitted = _coloured(fitted, image_shape)
    return _two_classes(fitted)


def _done(
    fitted: Fitted, model: keras.Model, note: str, **changes: Any
) -> Fitted:
    return dataclasses.replace(
        fitted, model=model, notes=(*fitted.notes, note), **changes
    )


def _shaped(
    fitted: Fitted, image_shape: Callable[[], ImageShape] | None
) -> Fitted:
    """Gives a model that does not say what it takes the images' shape."""
    if image_shape is None or input_shape_of(fitted.model) is not None:
        return fitted
    shape = image_shape()
    inputs = keras.Input(shape)
    try:
        model = keras.Model(inputs, fitted.model(inputs))
    # Whatever the code of a user's `call` raises.
    except Exception as error:
        raise UsageError(
            "The model does not say what it takes, and does not take images "
            f"of {shape} ({in_one_line(error)}); call it on a batch of images "
            "before it is saved."
        ) from None
    size = " x ".join(map(str, shape))
    return _done(
        fitted,
        model,
        f"the model does not say what it takes, and was given {size}",
    )


def _one_output(fitted: Fitted) -> Fitted:
    """Takes the logits of a model that gives several things."""
    model, shape = fitted.model, input_shape_of(fitted.model)
    if not _is_images(shape):
        return fitted
    answers = answers_of(model, shape)
    if not isinstance(answers, dict) and not _is_listed(answers):
        return fitted
    names: list[Any] = list(
        answers if isinstance(answers, dict) else range(len(answers))
    )
    if len(names) > 1 and "logits" not in names:
        raise UsageError(
            "A classifier answers with [batch, num_classes]; of several "
            "outputs the one named logits is taken. Received: outputs "
            f"{', '.join(map(str, names))}; save "
            "keras.Model(model.inputs, THE_OUTPUT)."
        )
    name = names[0] if len(names) == 1 else "logits"
    if getattr(model, "outputs", None):
        # The graph's own, so that its end stays in sight.
        chosen = keras.Model(model.inputs[0], _given(model.output, name))
    else:
        inputs = keras.Input(shape[1:])
        chosen = keras.Model(inputs, model(inputs)[name])
    if len(names) == 1:
        return dataclasses.replace(fitted, model=chosen)
    return _done(
        fitted, chosen, f"of the model's outputs {', '.join(names)}, logits "
        "was taken"
    )  # fmt: skip


def _is_listed(answers: Any) -> bool:
    """Tells a list of shapes from a shape."""
    return isinstance(answers, list | tuple) and all(
        isinstance(each, tuple) for each in answers
    )


def _given(output: Any, name: Any) -> Any:
    if isinstance(output, dict | list | tuple):
        return output[name]
    return output


def _float_input(fitted: Fitted) -> Fitted:
    """Gives pixels of 0 to 255 as numbers that have a gradient."""
    inputs = getattr(fitted.model, "inputs", None)
    if not inputs or len(inputs) != 1:
        return fitted
    (given,) = inputs
    if "int" not in str(given.dtype):
        return fitted
    copy = keras.models.clone_model(
        fitted.model,
        input_tensors=keras.Input(batch_shape=given.shape, dtype="float32"),
    )
    copy.set_weights(fitted.model.get_weights())
    return _done(
        fitted,
        copy,
        f"the model takes {given.dtype}, and was given 0 to 255 as float32, "
        "which attacks can follow",
        input_range=_BYTES,
    )


def _channels_last(fitted: Fitted) -> Fitted:
    """Turns images for a model whose channels come first."""
    shape = input_shape_of(fitted.model)
    if not _is_images(shape):
        return fitted
    _, first, _, last = shape
    if first not in CHANNELS or last in CHANNELS:
        return fitted
    inputs = keras.Input((*shape[2:], first))
    turned = keras.layers.Permute((3, 1, 2))(inputs)
    return _done(
        fitted,
        keras.Model(inputs, fitted.model(turned)),
        "the model takes channels first, and images were turned for it",
    )


def _sized(
    fitted: Fitted, image_shape: Callable[[], ImageShape] | None
) -> Fitted:
    """Gives a model of any size that of the images."""
    shape = input_shape_of(fitted.model)
    if not _is_images(shape) or None not in shape[1:] or image_shape is None:
        return fitted
    of_images = image_shape()
    # One channel is seen to later.
    size = tuple(
        side if own is None else own
        for own, side in zip(shape[1:], of_images, strict=True)
    )
    inputs = keras.Input(size)
    return _done(
        fitted,
        keras.Model(inputs, fitted.model(inputs)),
        f"the model takes images of any size, and was given {size[0]} x "
        f"{size[1]}",
    )


def _coloured(
    fitted: Fitted, image_shape: Callable[[], ImageShape] | None
) -> Fitted:
    """Gives a model of one channel the mean of three, which are equal."""
    shape = input_shape_of(fitted.model)
    if not _is_images(shape) or shape[-1] != 1 or image_shape is None:
        return fitted
    channels = image_shape()[-1]
    if channels == 1:
        return fitted
    inputs = keras.Input((*shape[1:3], channels))
    mean = keras.ops.mean(inputs, axis=-1, keepdims=True)
    return _done(
        fitted,
        keras.Model(inputs, fitted.model(mean)),
        "the model takes one channel, and was given the mean of the images' "
        f"{channels}, which are equal: an L-infinity radius is the same there, "
        f"a Euclidean one spreads over {channels} channels",
        grey=True,
    )


def _two_classes(fitted: Fitted) -> Fitted:
    """Makes one output the logit of the second of two classes."""
    shape = input_shape_of(fitted.model)
    if not _is_images(shape) or None in shape[1:]:
        return fitted
    answers = answers_of(fitted.model, shape)
    if not isinstance(answers, tuple) or answers[1:] != (1,):
        return fitted
    if SQUASHING.get(last_operation(fitted.model) or "") == "probabilities":
        raise UsageError(
            "A softmax over one class always answers 1, which nothing can "
            "change; end the network in one sigmoid, or in two classes. "
            f"Received: output shape {answers}."
        )
    logit, kind = before_squashing(fitted.model)
    if kind == "logits":
        images = probes(shape[1:])
        raw = np.asarray(fitted.model(images, training=False))
        if kind_of(raw) != "logits":
            raise UsageError(
                "One output between 0 and 1 is followed where the graph ends "
                "in a sigmoid that can be seen; return the value before it. "
                f"Received: answers from {raw.min():.4g} to {raw.max():.4g}."
            )
    inputs = keras.Input(shape[1:])
    both = keras.layers.Dense(2, use_bias=False, name="both_classes")
    network = keras.Model(inputs, both(logit(inputs)))
    both.set_weights([np.array([[0.0, 1.0]], np.float32)])
    found = "before its sigmoid" if kind == "sigmoids" else "that it answers"
    return _done(
        fitted,
        network,
        "the model has one output: the second class's logit is the number "
        f"{found}, the first one's 0",
    )


def _is_images(shape: Any) -> bool:
    return isinstance(shape, tuple) and len(shape) == 4
