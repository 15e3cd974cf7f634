"""Anybody's classifier as a logits function that attacks can follow."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.classifiers.answers import (
    before_squashing,
    check_outputs,
    found_outputs,
    to_logits,
)
from tfgan_robust.classifiers.endings import last_layer, with_end
from tfgan_robust.classifiers.fitting import fit
from tfgan_robust.classifiers.folding import fold_batchnorm
from tfgan_robust.classifiers.interface import UNIT, InputRange
from tfgan_robust.classifiers.signature import load_signature
from tfgan_robust.errors import UsageError
from tfgan_robust.identity import Identity, of_network, probes, structure_of
from tfgan_robust.networks.devices import full_float32
from tfgan_robust.networks.logits import (
    LogitsFn,
    classifier_logits,
    to_bfloat16,
    to_float32,
    with_gradients_of,
)
from tfgan_robust.networks.shapes import shapes_of


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
        weights: Those by which it is told from others; None for all. Where
            dropout draws from is another place after each loading.
        description: One line for reports.
        outputs: What the model answers with, one of `interface.OUTPUTS`.
        raw_fn: As `logits_fn`, but to answers of another kind, which were
            turned back into logits; None where the logits are the model's.
        structure: What it computes with its variables, for its identity.
        input_range: The pixels that its network gets; None if nobody said
            so, and it gets [0, 1].
        class_names: Of its logits, in their order, if they are known.
        lower: Builds `logits_fn` computed in bfloat16, if that can be done.
        features_fn: As `logits_fn`, but to what enters its last layer; None if
            that is not known.
        notes: What a reader of its figures must know, a line each.
        grey: Whether it sees images by the mean of their channels alone.
        source: The arguments with which `load_classifier` loads it again;
            None if there is no file of it.
    """

    logits_fn: LogitsFn
    image_shape: tuple[int, int, int]
    num_classes: int
    variables: Sequence[Any]
    description: str
    outputs: str = "logits"
    raw_fn: LogitsFn | None = None
    structure: bytes = b""
    input_range: InputRange | None = None
    class_names: tuple[str, ...] | None = None
    lower: Callable[[], LogitsFn] | None = None
    features_fn: LogitsFn | None = None
    notes: tuple[str, ...] = ()
    grey: bool = False
    source: Mapping[str, Any] | None = None
    weights: Sequence[Any] | None = None

    @property
    def shapes(self) -> tuple[int, ...]:
        """Height, width, channels and number of classes."""
        return (*self.image_shape, self.num_classes)

    @functools.cached_property
    def identity(self) -> Identity:
        """What tells it from other networks; see `identity.of_network`."""
        images = tf.constant(probes(self.image_shape))
        # On a GPU it may round otherwise than where it is compared.
        with full_float32():
            first, second = (self.logits_fn(images).numpy() for _ in range(2))
        # Answers at random tell nothing.
        same = np.allclose(first, second, rtol=1e-3, atol=0, equal_nan=True)
        weights = self.variables if self.weights is None else self.weights
        return of_network(
            self.structure,
            (np.asarray(variable) for variable in weights),
            first if same else first[:0],
        )

    def fed(self, input_range: InputRange) -> "Classifier":
        """Returns a classifier whose network gets pixels of another range.

        Args:
            input_range: What it was made for.

        Raises:
            UsageError: if that is of another number of channels.
        """
        channels = self.image_shape[-1]
        if len(input_range.scale) not in (1, channels):
            raise UsageError(
                f"`input_range` must hold one number or {channels}, one for "
                f"each channel. Received: {input_range.text}."
            )

        def fed(network: LogitsFn) -> LogitsFn:
            return lambda images: network(input_range(images))

        raw_fn, features_fn, lower = self.raw_fn, self.features_fn, self.lower
        return dataclasses.replace(
            self,
            logits_fn=fed(self.logits_fn),
            raw_fn=raw_fn and fed(raw_fn),
            features_fn=features_fn and fed(features_fn),
            lower=lower and (lambda: fed(lower())),
            structure=self.structure + _changes(input_range),
            input_range=input_range,
            source=None,
            description=f"{self.description} (pixels {input_range.text})",
        )

    def followed_in(self, precision: str) -> LogitsFn:
        """Returns `logits_fn` with gradients of some precision.

        Args:
            precision: One of `execution.GRADIENT_PRECISIONS`. Logits, and so
                all verdicts, stay float32.

        Raises:
            UsageError: if bfloat16 is asked of what is no Keras model, or one
                that Keras cannot copy.
        """
        if precision == "float32":
            return self.logits_fn
        if self.lower is None:
            raise UsageError(
                "Only a Keras model can be followed in bfloat16. Received: "
                f"gradient_precision={precision} with {self.description}."
            )
        return with_gradients_of(self.lower(), self.logits_fn)

    @classmethod
    def from_keras(
        cls,
        model: keras.Model,
        *,
        outputs: str = "auto",
        description: str = "Keras model",
        input_range: InputRange | None = None,
        image_shape: Callable[[], tuple[int, int, int]] | None = None,
    ) -> "Classifier":
        """Wraps a Keras model, with the weights that it has now.

        Example:
            >>> import keras
            >>> flat = [keras.Input((8, 8, 3)), keras.layers.Flatten()]
            >>> softmax = keras.layers.Dense(10, activation="softmax")
            >>> model = keras.Sequential([*flat, softmax])
            >>> classifier = Classifier.from_keras(model)
            >>> classifier.outputs, classifier.description
            ('probabilities', 'Keras model (logits before its softmax)')

        Args:
            model: From float32 [batch, height, width, channels] in [0, 1] to
                [batch, num_classes]; functional, sequential, or subclassed
                and called before. One of lower precision is computed in
                float32.
            outputs: What it answers with, one of `interface.OUTPUTS`; "auto"
                finds out. Where its graph ends in a softmax or in sigmoids,
                the logits before them are attacked; other probabilities are
                turned back into logits.
            description: One line for reports.
            input_range: The pixels that it was made for; None for [0, 1], or
                0 to 255 where its input takes integers.
            image_shape: Returns height, width and channels of the images;
                asked if the model leaves its size open, or takes one channel.

        Returns:
            The classifier.

        Raises:
            UsageError: if the model takes or gives something else, or for
                unknown `outputs`.
        """
        check_outputs(outputs)
        fitted = fit(model, image_shape)
        found = cls._of_fitted(fitted.model, outputs, description)
        found = dataclasses.replace(found, notes=fitted.notes, grey=fitted.grey)
        pixels = input_range or fitted.input_range
        return found if pixels is None else found.fed(pixels)

    @classmethod
    def _of_fitted(
        cls, model: keras.Model, outputs: str, description: str
    ) -> "Classifier":
        """Makes a classifier of a model that takes and gives what it should."""
        image_shape, num_classes = shapes_of(model)
        model = to_float32(model)
        network, squashed = before_squashing(model)
        found = network is not model and outputs in ("auto", squashed)
        folded = fold_batchnorm(network if found else model)
        classifier = cls._of(
            classifier_logits(folded, "inference"),
            "logits" if found else outputs,
            image_shape,
            num_classes,
            model.variables,
            description,
            _structure(model),
        )
        kind = classifier.outputs if classifier.raw_fn else "logits"
        classifier = dataclasses.replace(
            classifier,
            lower=lambda: to_logits(
                classifier_logits(to_bfloat16(folded), "inference"), kind
            ),
            features_fn=_features(folded),
            weights=model.weights,
        )
        if not found:
            return classifier
        named = "softmax" if squashed == "probabilities" else "sigmoids"
        return dataclasses.replace(
            classifier,
            outputs=squashed,
            description=f"{description} (logits before its {named})",
        )

    @classmethod
    def _of(
        cls,
        raw_fn: LogitsFn,
        outputs: str,
        image_shape: tuple[int, int, int],
        num_classes: int,
        variables: Sequence[Any],
        description: str,
        structure: bytes,
    ) -> "Classifier":
        """Makes a classifier of a function to answers of some kind."""
        if outputs == "auto":
            outputs = found_outputs(raw_fn, image_shape)
        turned = outputs != "logits"
        return cls(
            to_logits(raw_fn, outputs),
            image_shape,
            num_classes,
            variables,
            f"{description} (from its {outputs})" if turned else description,
            outputs,
            raw_fn if turned else None,
            structure,
        )

    @classmethod
    def from_saved_model(
        cls, path: str | Path, *, outputs: str = "auto"
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
            outputs: What its only output is, one of `interface.OUTPUTS`;
                "auto" finds out. An output named `logits` is taken as that.
                From probabilities and sigmoids logits are made: what float32
                rounded to 0 or 1 is lost, and has no gradient.

        Returns:
            The classifier.

        Raises:
            UsageError: if it cannot be loaded, has no such signature or
                takes batches of one size only, or for unknown `outputs`.
        """
        check_outputs(outputs)
        signature = load_signature(path)
        parts = Path(path).absolute().parts
        # A mere version does not say whose it is.
        parts = parts[-2:] if parts[-1].isdigit() else parts[-1:]
        classifier = cls._of(
            signature.raw_fn,
            "logits" if signature.output == "logits" else outputs,
            signature.image_shape,
            signature.num_classes,
            signature.variables,
            f"SavedModel {'/'.join(parts)}",
            (Path(path) / "saved_model.pb").read_bytes(),
        )
        return dataclasses.replace(
            classifier, class_names=signature.class_names
        )


def _changes(input_range: InputRange) -> bytes:
    """What pixels of a range change in what is computed; nothing of [0, 1]."""
    if dataclasses.replace(input_range, text=UNIT.text) == UNIT:
        return b""
    return repr(input_range).encode()


def _features(model: keras.Model) -> LogitsFn | None:
    """Returns what enters a dense last layer, if the graph shows it."""
    try:
        if not isinstance(last_layer(model), keras.layers.Dense):
            return None
        before = with_end(model, lambda last: last.input)
    # Of a subclassed model Keras knows no graph, and a layer that is used
    # twice has no one input.
    except (AttributeError, ValueError, TypeError):
        return None
    return classifier_logits(before, "inference")


def _structure(model: keras.Model) -> bytes:
    try:
        config = model.get_config()
    # Keras knows what the graph of a subclassed model is by its code alone.
    except NotImplementedError:
        config = {}
    return json.dumps(type(model).__name__).encode() + structure_of(config)
