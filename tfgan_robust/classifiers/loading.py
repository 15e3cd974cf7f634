"""Anybody's classifier as a logits function that attacks can follow."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.classifiers.folding import fold_batchnorm
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn, to_float32
from tfgan_robust.runs.directory import (
    RunDirectory,
    load_run_config,
    naming_imports,
)

OUTPUTS = ("logits", "probabilities")
_SMALLEST_PROBABILITY = 1e-30


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A classifier ready to be attacked.

    Attributes:
        logits_fn: From float32 [batch, height, width, channels] in [0, 1] to
            float32 logits [batch, num_classes], in inference mode.
        image_shape: Height, width, channels.
        num_classes: Number of classes.
        variables: All its variables, which attacks must not change.
        description: One line for reports.
        outputs: What it was declared to answer with, one of `OUTPUTS`.
        raw_fn: As `logits_fn`, but to the model's own answers, if known.
    """

    logits_fn: LogitsFn
    image_shape: tuple[int, int, int]
    num_classes: int
    variables: Sequence[Any]
    description: str
    outputs: str = "logits"
    raw_fn: LogitsFn | None = None

    @classmethod
    def from_keras(
        cls,
        model: keras.Model,
        *,
        outputs: str = "logits",
        description: str = "Keras model",
    ) -> "Classifier":
        """Wraps a Keras model, with the weights that it has now.

        Args:
            model: From float32 [batch, height, width, channels] in [0, 1] to
                [batch, num_classes].
            outputs: "logits", or "probabilities", whose logarithm is taken.
            description: One line for reports.

        Returns:
            The classifier.

        Raises:
            UsageError: if the model takes or gives something else, or for
                unknown `outputs`.
        """
        _check_outputs(outputs)
        _check_shapes(
            getattr(model, "input_shape", None),
            getattr(model, "output_shape", None),
        )

        network = fold_batchnorm(model)

        def raw_fn(images: tf.Tensor) -> tf.Tensor:
            return tf.cast(network(images, training=False), tf.float32)

        return cls(
            _to_logits(raw_fn, outputs), tuple(model.input_shape[1:]),
            model.output_shape[-1], model.variables, description, outputs,
            raw_fn,
        )  # fmt: skip

    @classmethod
    def from_saved_model(
        cls, path: str | Path, *, outputs: str = "logits"
    ) -> "Classifier":
        """Loads the signature `serving_default` of a SavedModel.

        Args:
            path: Folder of the SavedModel.
            outputs: What its only output is; an output named `logits` is
                taken as that.

        Returns:
            The classifier.

        Raises:
            UsageError: if it cannot be loaded, has no such signature or
                takes batches of one size only, or for unknown `outputs`.
        """
        _check_outputs(outputs)
        try:
            loaded = tf.saved_model.load(str(path))
        # A damaged folder surfaces as almost anything, IndexError included.
        except Exception as error:
            raise UsageError(
                f"{path} cannot be loaded as a SavedModel: {error}."
            ) from None
        signature = loaded.signatures.get("serving_default")
        if signature is None:
            raise UsageError(
                f"{path} has no signature serving_default. Received: "
                f"{', '.join(loaded.signatures) or 'no signatures'}."
            )
        (_, inputs) = signature.structured_input_signature
        answers = signature.structured_outputs
        if len(inputs) != 1 or (len(answers) != 1 and "logits" not in answers):
            raise UsageError(
                f"{path} must have one input and an output named logits, or "
                f"one output. Received: inputs {', '.join(inputs)}, outputs "
                f"{', '.join(sorted(answers))}."
            )
        ((input_name, spec),) = inputs.items()
        output_name = "logits" if "logits" in answers else next(iter(answers))
        kind = "logits" if output_name == "logits" else outputs
        shape = _known(spec.shape)
        _check_shapes(
            shape if spec.dtype.is_floating else f"of {spec.dtype.name}",
            _known(answers[output_name].shape),
        )
        if shape[0] is not None:
            raise UsageError(
                f"{path} takes batches of one size only; export it with a "
                f"free batch dimension. Received: input shape {shape}."
            )

        def raw_fn(images: tf.Tensor) -> tf.Tensor:
            # Held here: without it the variables would be collected.
            answer = loaded.signatures["serving_default"](
                **{input_name: tf.cast(images, spec.dtype)}
            )
            return tf.cast(answer[output_name], tf.float32)

        return cls(
            _to_logits(raw_fn, kind), shape[1:],
            answers[output_name].shape[-1], signature.variables,
            f"SavedModel {_name(Path(path))}", kind, raw_fn,
        )  # fmt: skip


def load_classifier(
    *,
    run_dir: str | Path | None = None,
    checkpoint: str = "best",
    model: str | Path | None = None,
    outputs: str = "logits",
) -> Classifier:
    """Loads the classifier of a run, a `.keras` file or a SavedModel.

    Args:
        run_dir: Folder of a training run.
        checkpoint: "best" or "last", for a run.
        model: A `.keras` file or the folder of a SavedModel instead.
        outputs: What that model's outputs are, "logits" or "probabilities".

    Returns:
        The classifier, computing in float32.

    Raises:
        UsageError: unless exactly one is given and can be loaded.
    """
    if (run_dir is None) == (model is None):
        raise UsageError("Give either `run_dir` or `model`.")
    _check_outputs(outputs)
    if run_dir is not None:
        run = RunDirectory(Path(run_dir))
        load_run_config(run.path)
        path = run.classifier(checkpoint)
        if not path.is_file():
            raise UsageError(
                f"{run.path} has no {checkpoint} classifier yet; let the "
                "training reach its first evaluation."
            )
        with naming_imports(run.path):
            network = load_float32(path)
        return Classifier.from_keras(
            network, description=f"{run.path.name} ({checkpoint})"
        )
    path = Path(str(model))
    if path.is_dir():
        return Classifier.from_saved_model(path, outputs=outputs)
    if not path.is_file():
        raise UsageError(f"There is no model at {path}.")
    return Classifier.from_keras(
        load_float32(path), outputs=outputs, description=path.name
    )


def load_float32(path: str | Path) -> keras.Model:
    """Loads a classifier and converts it to float32 throughout.

    Args:
        path: A `.keras` file.

    Returns:
        The model, all of whose layers compute in float32.

    Raises:
        UsageError: if the file cannot be read.
    """
    try:
        model = keras.models.load_model(path, compile=False)
    # A damaged file surfaces as almost anything, KeyError included.
    except Exception as error:
        unknown = re.search(r"Could not locate \w+ '(\w+)'", str(error))
        if unknown:
            raise UsageError(
                f"{path} needs {unknown[1]}, which Keras does not know; "
                "import the module that registers it first (commands do so "
                "with --import)."
            ) from None
        raise UsageError(
            f"{path} cannot be loaded as a Keras model "
            f"({type(error).__name__}: {error})."
        ) from None
    return to_float32(model)


def _to_logits(raw_fn: LogitsFn, outputs: str) -> LogitsFn:
    if outputs == "logits":
        return raw_fn
    # Softmax of log p is p again. The floor keeps the logarithm finite.
    return lambda images: tf.math.log(
        tf.maximum(raw_fn(images), _SMALLEST_PROBABILITY)
    )


def _name(path: Path) -> str:
    """The last part of a path; two where the last is a mere version."""
    parts = path.absolute().parts
    return "/".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])


def _check_outputs(outputs: str) -> None:
    if outputs not in OUTPUTS:
        raise UsageError(
            f"`outputs` must be one of {', '.join(OUTPUTS)}. "
            f"Received: {outputs}."
        )


def _known(shape: tf.TensorShape) -> Any:
    return "of unknown rank" if shape.rank is None else tuple(shape)


def _check_shapes(inputs: Any, answers: Any) -> None:
    if not isinstance(inputs, tuple) or len(inputs) != 4 or None in inputs[1:]:
        raise UsageError(
            "A classifier takes one batch of images, [batch, height, width, "
            f"channels] of known size. Received: input shape {inputs}."
        )
    if (
        not isinstance(answers, tuple)
        or len(answers) != 2
        or (answers[-1] or 0) < 2
    ):
        raise UsageError(
            "A classifier answers with [batch, num_classes], at least 2. "
            f"Received: output shape {answers}."
        )
