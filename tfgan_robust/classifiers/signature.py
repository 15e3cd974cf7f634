"""What a SavedModel's signature `serving_default` classifies with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from tfgan_robust.errors import UsageError, in_one_line
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.shapes import check_input_shape, check_output_shape

# A SavedModel's graph is as it was exported.
_REMEDY = "export it with float32 images, [None, height, width, channels]"


class Signature(NamedTuple):
    """A signature that classifies.

    Attributes:
        raw_fn: From float32 [batch, height, width, channels] to float32
            [batch, num_classes].
        image_shape: Height, width, channels.
        num_classes: The number of classes.
        variables: All that it computes with.
        output: The name of the output.
        class_names: What the signature `labels` answers, if there is one, as
            in exports of this package.
    """

    raw_fn: LogitsFn
    image_shape: tuple[int, int, int]
    num_classes: int
    variables: Sequence[Any]
    output: str
    class_names: tuple[str, ...] | None


def load_signature(path: str | Path) -> Signature:
    """Loads the signature `serving_default` of a SavedModel.

    Of several outputs it takes the one named `logits`.

    Returns:
        The signature.

    Raises:
        UsageError: if there is none, or it does not take batches of any
            number of images of one size to one number for each class.
    """
    loaded = _load(path)
    signature = loaded.signatures["serving_default"]
    input_name, output_name = _ends(signature, path)
    taken = signature.structured_input_signature[1][input_name]
    given = signature.structured_outputs[output_name]
    shape = _known(taken.shape)
    check_input_shape(
        shape if taken.dtype.is_floating else f"of {taken.dtype.name}", _REMEDY
    )
    check_output_shape(_known(given.shape))
    if shape[0] is not None:
        raise UsageError(
            f"{path} takes batches of one size only; export it with a "
            f"free batch dimension. Received: input shape {shape}."
        )

    def raw_fn(images: tf.Tensor) -> tf.Tensor:
        # By `loaded`: were it not held here, its variables would be
        # collected.
        answers = loaded.signatures["serving_default"](
            **{input_name: tf.cast(images, taken.dtype)}
        )
        return tf.cast(answers[output_name], tf.float32)

    return Signature(
        raw_fn,
        shape[1:],
        given.shape[-1],
        signature.variables,
        output_name,
        _class_names(loaded, given.shape[-1]),
    )


def _class_names(loaded: Any, num_classes: int) -> tuple[str, ...] | None:
    labels = loaded.signatures.get("labels")
    if labels is None:
        return None
    asked = labels.structured_input_signature[1]
    if not asked:
        # Exports of earlier versions.
        names = labels().get("labels")
    elif set(asked) == {"class_numbers"}:
        numbers = tf.range(num_classes, dtype=tf.int64)
        names = labels(class_numbers=numbers).get("labels")
    else:
        return None
    if names is None or names.dtype != tf.string or len(names) != num_classes:
        return None
    return tuple(name.decode() for name in names.numpy())


def _load(path: str | Path) -> Any:
    try:
        loaded = tf.saved_model.load(str(path))
    # A damaged folder surfaces as almost anything, IndexError included.
    except Exception as error:
        raise UsageError(
            f"{path} cannot be loaded as a SavedModel ({in_one_line(error)})."
        ) from None
    if "serving_default" not in loaded.signatures:
        raise UsageError(
            f"{path} has no signature serving_default. Received: "
            f"{', '.join(loaded.signatures) or 'no signatures'}."
        )
    return loaded


def _ends(signature: Any, path: str | Path) -> tuple[str, str]:
    """Returns the names of the input and of the output."""
    (_, inputs) = signature.structured_input_signature
    answers = signature.structured_outputs
    if len(inputs) != 1 or (len(answers) != 1 and "logits" not in answers):
        raise UsageError(
            f"{path} must have one input and an output named logits, or "
            f"one output. Received: inputs {', '.join(inputs)}, outputs "
            f"{', '.join(sorted(answers))}."
        )
    (input_name,) = inputs
    return input_name, "logits" if "logits" in answers else next(iter(answers))


def _known(shape: tf.TensorShape) -> Any:
    return "of unknown rank" if shape.rank is None else tuple(shape)
