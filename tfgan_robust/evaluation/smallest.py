"""Keeps the smallest perturbations that fool."""

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.balls import NORMS
from tfgan_robust.attacks.engine.slots import Finished
from tfgan_robust.evaluation.shorten import shorten
from tfgan_robust.networks.logits import LogitsFn, as_floats
from tfgan_robust.reports.results import Smallest


class NearestSearch:
    """Shortens perturbations that fool, and keeps the smallest.

    Most attacks use the whole radius even where less would do.

    Args:
        logits_fn: The classifier that was fooled, in inference mode.
        images: uint8, or float32 in [0, 1], [n, height, width, channels].
        labels: int64 [n].
        norm: "linf" or "l2".
        batch_size: Images in a batch.
        jit_compile: Whether XLA compiles it.
    """

    def __init__(
        self,
        logits_fn: LogitsFn,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        norm: str,
        batch_size: int,
        jit_compile: bool,
    ) -> None:
        self._images, self._labels, self._norm = images, labels, norm
        self._batch_size = batch_size
        self._waiting: list[tuple[str, Finished]] = []

        def search(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found = shorten(logits_fn, *batch)
            sizes = NORMS[norm].size(found.images - batch[0])
            return *found, sizes

        self._search = tf.function(
            search, jit_compile=jit_compile, autograph=False
        )

    def add(self, attack: str, done: Finished, smallest: Smallest) -> None:
        """Takes an image that was fooled; most wait for a full batch."""
        self._waiting.append((attack, done))
        if len(self._waiting) == self._batch_size:
            self.flush(smallest)

    def flush(self, smallest: Smallest) -> None:
        """Looks at all that wait."""
        if not self._waiting:
            return
        # Of one size, so that it is compiled once and rounds alike.
        places = np.arange(self._batch_size) % len(self._waiting)
        numbers = np.array([done.number for _, done in self._waiting])[places]
        attacked = np.stack([done.image for _, done in self._waiting])[places]
        fooled, images, predicted, sizes = (
            part.numpy()
            for part in self._search(
                tf.constant(as_floats(self._images[numbers])),
                tf.constant(self._labels[numbers]),
                tf.constant(attacked),
            )
        )
        for place, (attack, done) in enumerate(self._waiting):
            if fooled[place]:
                smallest.offer(
                    done.number,
                    float(sizes[place]),
                    attack,
                    int(predicted[place]),
                    images[place],
                )
        self._waiting.clear()
