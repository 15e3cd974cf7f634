"""Anybody's classifier as a logits function that attacks can follow."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.classifiers.folding import fold_batchnorm
from tfgan_robust.classifiers.signature import load_signature
from tfgan_robust.errors import UsageError, in_one_line
from tfgan_robust.networks.logits import (
    LogitsFn,
    classifier_logits,
    to_float32,
)
from tfgan_robust.networks.shapes import shapes_of
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

    Example:
        >>> import keras, numpy as np
        >>> layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> classifier = Classifier.from_keras(model)
        >>> classifier.image_shape, classifier.num_classes
        ((8, 8, 3), 10)
        >>> images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
        >>> classifier.logits_fn(images).shape
        TensorShape([2, 10])

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

        Example:
            >>> import keras
            >>> flat = [keras.Input((8, 8, 3)), keras.layers.Flatten()]
            >>> softmax = keras.layers.Dense(10, activation="softmax")
            >>> model = keras.Sequential([*flat, softmax])
            >>> Classifier.from_keras(model, outputs="probabilities").outputs
            'probabilities'

        Args:
            model: From float32 [batch, height, width, channels] in [0, 1] to
                [batch, num_classes]; functional, sequential, or subclassed
                and called before. One of lower precision is computed in
                float32.
            outputs: "logits", or "probabilities", whose logarithm is taken.
            description: One line for reports.

        Returns:
            The classifier.

        Raises:
            UsageError: if the model takes or gives something else, or for
                unknown `outputs`.
        """
        _check_outputs(outputs)
        image_shape, num_classes = shapes_of(model)
        model = to_float32(model)
        raw_fn = classifier_logits(fold_batchnorm(model), "inference")
        return cls(
            _to_logits(raw_fn, outputs), image_shape, num_classes,
            model.variables, description, outputs, raw_fn,
        )  # fmt: skip

    @classmethod
    def from_saved_model(
        cls, path: str | Path, *, outputs: str = "logits"
    ) -> "Classifier":
        """Loads the signature `serving_default` of a SavedModel.

        Example:
            >>> import keras, tempfile
            >>> layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
            >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     model.export(f"{folder}/mine", verbose=False)
            ...     classifier = Classifier.from_saved_model(f"{folder}/mine")
            >>> classifier.description, classifier.num_classes
            ('SavedModel mine', 10)

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
        raw_fn, image_shape, num_classes, variables, name = load_signature(path)
        outputs = "logits" if name == "logits" else outputs
        parts = Path(path).absolute().parts
        # A mere version does not say whose it is.
        parts = parts[-2:] if parts[-1].isdigit() else parts[-1:]
        return cls(
            _to_logits(raw_fn, outputs), image_shape, num_classes, variables,
            f"SavedModel {'/'.join(parts)}", outputs, raw_fn,
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

    Example:
        >>> import keras, tempfile
        >>> layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/mine.keras")
        ...     classifier = load_classifier(model=f"{folder}/mine.keras")
        >>> classifier.description, classifier.num_classes
        ('mine.keras', 10)
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
        path: A `.keras` or `.h5` file. A module that defines classes of its
            model must have been imported.

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
            f"{path} cannot be loaded as a Keras model ({in_one_line(error)})."
        ) from None
    return to_float32(model)


def _to_logits(raw_fn: LogitsFn, outputs: str) -> LogitsFn:
    if outputs == "logits":
        return raw_fn
    # Softmax of log p is p again. The floor keeps the logarithm finite.
    return lambda images: tf.math.log(
        tf.maximum(raw_fn(images), _SMALLEST_PROBABILITY)
    )


def _check_outputs(outputs: str) -> None:
    if outputs not in OUTPUTS:
        raise UsageError(
            f"`outputs` must be one of {', '.join(OUTPUTS)}. "
            f"Received: {outputs}."
        )
