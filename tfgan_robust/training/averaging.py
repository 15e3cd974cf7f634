"""The moving average of a classifier's weights, and its statistics."""

import contextlib
import itertools
import types
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.methods.base import Method
from tfgan_robust.networks.logits import normalisations
from tfgan_robust.training.examples import unpack
from tfgan_robust.training.memory import GradientMemory, recall

# On which the statistics of an average are computed.
BATCHES = 30


class AveragedStatistics:
    """Recomputes what normalises the average of a classifier's weights.

    Moving averages of the network in training are not those of the average of
    its weights (arXiv:1803.05407, section 3.1).

    Args:
        average: The network with those weights.
        method: How it is trained.
        memory: Of gradients, for a method that remembers.
    """

    def __init__(
        self,
        average: keras.Model,
        method: Method,
        memory: GradientMemory | None = None,
    ) -> None:
        self._average, self._method = average, method
        self._memory = memory
        self._run = tf.function(self._look, autograph=False)
        self._layers = normalisations(average)
        self._statistics = [
            variable
            for layer in self._layers
            for variable in (layer.moving_mean, layer.moving_variance)
        ]

    def recompute(self, batches: Iterable[Any]) -> None:
        """Sets them to their mean over batches, perturbed as in training.

        Args:
            batches: As `AdversarialClassifier.train_step` takes them; none
                change nothing.
        """
        statistics = self._statistics
        if not statistics:
            return
        totals, count = [0.0] * len(statistics), 0
        # The graph is traced within, at the first batch of all.
        with _no_memory(self._layers):
            for batch in batches:
                images, labels, _ = unpack(batch)
                found = self._run(images, labels, tf.constant([0, count]))
                count += 1
                totals = [
                    total + mean.numpy()
                    for total, mean in zip(totals, found, strict=True)
                ]
        if count:
            for variable, total in zip(statistics, totals, strict=True):
                variable.assign(total / count)

    def _look(
        self, images: Any, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """Returns each statistic, its mean over the passes of a batch."""
        method = self._method
        passes: list[list[tf.Tensor]] = []

        def classify(images: tf.Tensor, training: bool) -> tf.Tensor:
            answers = self._average(images, training=training)
            # Read here: the next pass overwrites them.
            passes.append([tf.identity(v.value) for v in self._statistics])
            return answers

        images, _, seen = recall(self._memory, images)
        # Keras converts what it is given, too.
        images = tf.cast(images, tf.float32)
        perturbed = method.perturb(images, labels, seed, **seen)
        named = dict(zip(method.names, perturbed, strict=True))
        method.logits(classify, images, named)
        return [
            tf.add_n(each) / len(passes) for each in zip(*passes, strict=True)
        ]


class Looked:
    """Batches that a model was fitted to, to be looked at once more.

    Args:
        source: The images, or batches, that `keras.Model.fit` takes.

    Attributes:
        source: What it is to take in their place: what a generator has
            yielded would be gone.
    """

    def __init__(self, source: Any) -> None:
        self._last: deque[Any] = deque(maxlen=BATCHES)
        self.source = source
        if isinstance(source, types.GeneratorType):
            self.source = self._noting(source)

    def again(
        self,
        labels: Any = None,
        *,
        batch_size: int | None = None,
        validation_split: float = 0.0,
        seed: int = 0,
    ) -> Iterable[Any]:
        """Returns a few batches.

        Args:
            labels: As `fit` takes them.
            batch_size: As `fit` takes it.
            validation_split: As `fit` takes it.
            seed: Picks those of arrays.

        Returns:
            Up to `BATCHES` of images and labels, and what else there is.
        """
        source = self.source
        if self._last:
            return list(self._last)
        if labels is not None:
            count = int(len(labels) * (1 - validation_split))
            order = np.random.default_rng(seed).permutation(count)
            size = batch_size or 32  # Keras's.
            parts = [order[n : n + size] for n in range(0, count, size)]
            return (
                (tf.gather(source, part), tf.gather(labels, part))
                for part in parts[:BATCHES]
            )
        if isinstance(source, keras.utils.PyDataset):
            count = source.num_batches or BATCHES
            return (source[n] for n in range(min(count, BATCHES)))
        return itertools.islice(source, BATCHES)

    def _noting(self, batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            self._last.append(batch)
            yield batch


@contextlib.contextmanager
def _no_memory(
    layers: Sequence[keras.layers.BatchNormalization],
) -> Iterator[None]:
    """Makes moving averages the statistics of the last pass."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
