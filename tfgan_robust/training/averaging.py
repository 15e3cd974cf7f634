"""The moving average of a classifier's weights, and its statistics."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.networks.logits import normalisations
from tfgan_robust.training.model import AdversarialClassifier


class AveragedStatistics:
    """Recomputes what normalises the average of a classifier's weights.

    Moving averages of the network in training are not those of the average of
    its weights (arXiv:1803.05407, section 3.1).

    Args:
        model: Whose classifier is averaged.
    """

    def __init__(self, model: AdversarialClassifier) -> None:
        self._model = model
        self._run = tf.function(self._look, autograph=False)
        self._layers = normalisations(model.trained)
        self._statistics = [
            variable
            for layer in self._layers
            for variable in (layer.moving_mean, layer.moving_variance)
        ]

    def recompute(self, batches: Iterable[Any]) -> None:
        """Sets them to their mean over batches, perturbed as in training.

        Args:
            batches: As `AdversarialClassifier.train_step` takes them.
        """
        statistics = self._statistics
        if not statistics:
            return
        totals, count = [0.0] * len(statistics), 0
        # The graph is traced within, at the first batch of all.
        with _no_memory(self._layers):
            for images, labels in batches:
                found = self._run(images, labels, tf.constant([0, count]))
                count += 1
                totals = [
                    total + mean.numpy()
                    for total, mean in zip(totals, found, strict=True)
                ]
        for variable, total in zip(statistics, totals, strict=True):
            variable.assign(total / count)

    def _look(
        self, images: Any, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """Returns each statistic, its mean over the passes of a batch."""
        method = self._model.method
        passes: list[list[tf.Tensor]] = []

        def classify(images: tf.Tensor, training: bool) -> tf.Tensor:
            answers = self._model.trained(images, training=training)
            # Read here: the next pass overwrites them.
            passes.append([tf.identity(v.value) for v in self._statistics])
            return answers

        if method.remembers:
            images, _ = images
        perturbed = method.perturb(images, labels, seed)
        named = dict(zip(method.names, perturbed, strict=True))
        method.logits(classify, images, named)
        return [
            tf.add_n(each) / len(passes) for each in zip(*passes, strict=True)
        ]


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
