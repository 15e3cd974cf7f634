"""What networks take and give: images of some size, and logits."""

from typing import Any

import keras

from tfgan_robust.errors import UsageError, in_one_line

CHANNELS = (1, 3)


def check_sides(image_shape: tuple[int, int, int]) -> None:
    """Refuses images that the paper's networks cannot halve.

    Raises:
        UsageError: unless both sides are multiples of 4, at least 16.
    """
    height, width, _ = image_shape
    if min(height, width) < 16 or height % 4 or width % 4:
        raise UsageError(
            "The networks take images whose sides are multiples of 4 and at "
            f"least 16 pixels. Received: {height} x {width}; resize them, "
            "for example with `image_size=32`."
        )


def shapes_of(
    model: keras.Model, *, sized_by: str = "say it by `image_shape`"
) -> tuple[tuple[int, int, int], int]:
    """Returns what a classifier takes and gives.

    Args:
        model: Any Keras model that was built.
        sized_by: What to do, where it was called, about a size that the
            model leaves open.

    Returns:
        Height, width and channels of an image, and the number of classes.

    Raises:
        UsageError: unless it takes one batch of images of one size and
            answers with one number for each of two or more classes.
    """
    inputs = input_shape_of(model)
    remedy = None
    # Of what is no image, no size would help.
    if isinstance(inputs, tuple) and len(inputs) == 4:
        remedy = sized_by
    elif inputs is None:
        remedy = f"call the model on a batch of images first, or {sized_by}"
    check_input_shape(inputs, remedy)
    answers = answers_of(model, inputs)
    check_output_shape(answers)
    return inputs[1:], answers[-1]


def input_shape_of(model: keras.Model) -> Any:
    """Returns the shape of a model's input, or of several; batch included.

    Raises:
        UsageError: for a subclassed model that was never called.
    """
    # Subclassed models have no `input_shape`, but know how they were built.
    if hasattr(model, "input_shape"):
        inputs = model.input_shape
    elif model.built:
        inputs = (model.get_build_config() or {}).get("input_shape")
    else:
        raise UsageError(
            "A subclassed model knows its shapes once it was called; call it "
            f"on a batch of images first. Received: {type(model).__name__}."
        )
    return tuple(inputs) if isinstance(inputs, list | tuple) else inputs


def answers_of(model: keras.Model, input_shape: tuple[int | None, ...]) -> Any:
    """Returns the shape of an output, or a structure of several.

    Args:
        model: Any Keras model that was built.
        input_shape: Of a batch of images, whose size is left open.

    Raises:
        UsageError: if the model's own code fails in a symbolic call.
    """
    try:
        answers = model.compute_output_spec(
            keras.KerasTensor((None, *input_shape[1:]))
        )
    # Whatever the code of a user's `call` raises.
    except Exception as error:
        raise UsageError(
            "The output shape of a model is found by a symbolic "
            f"call, which failed ({in_one_line(error)}); give it a "
            "compute_output_spec."
        ) from None
    return keras.tree.map_structure(lambda answer: answer.shape, answers)


def check_input_shape(shape: Any, remedy: str | None) -> None:
    """Refuses whatever is no batch of images of one size.

    Args:
        shape: A tuple, if there is one input of known rank.
        remedy: What to do about it; None if nobody knows.

    Raises:
        UsageError: unless it is (batch, height, width, channels).
    """
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        advice = "" if remedy is None else f"; {remedy}"
        raise UsageError(
            "A classifier takes one batch of images, [batch, height, width, "
            f"channels] of known size. Received: input shape {shape}{advice}."
        )


def check_output_shape(shape: Any) -> None:
    """Refuses whatever is no batch of logits.

    Args:
        shape: A tuple, if there is one output of known rank.

    Raises:
        UsageError: unless it is (batch, num_classes).
    """
    if not isinstance(shape, tuple) or len(shape) != 2 or (shape[1] or 0) < 2:
        one = isinstance(shape, tuple) and shape[1:] == (1,)
        remedy = "; for yes or no, end it in two classes" if one else ""
        raise UsageError(
            "A classifier answers with [batch, num_classes], at least 2. "
            f"Received: output shape {shape}{remedy}."
        )


def remedy_for_images(taken: tuple[int, ...], received: tuple[int, ...]) -> str:
    """Returns what to do about images that a classifier does not take.

    Args:
        taken: Height, width and channels of images that it takes.
        received: Those of the images.

    Returns:
        The end of an error's sentence, empty if nothing is known to help.
    """
    first, _, last = taken
    channels = received[-1]
    if channels in CHANNELS and first == channels != last:
        return (
            "; the classifier takes channels first: put "
            "keras.layers.Permute((3, 1, 2)) in front of it"
        )
    if last == channels and taken[0] == taken[1]:
        return f"; `image_size={first}` resizes them"
    return ""
