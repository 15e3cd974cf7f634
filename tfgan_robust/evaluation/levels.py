"""Attacked images of 256 levels: what a person can store and send.

The result of an attack has any pixel values, and a deployed model is sent
files. Adversarial images were stored as files first in arXiv:1607.02533.
"""

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import judge
from tfgan_robust.attacks.compile import as_graph, resolve_jit_compile
from tfgan_robust.attacks.engine.execution import Execution
from tfgan_robust.attacks.engine.outcome import Outcome
from tfgan_robust.attacks.engine.slots import Finished
from tfgan_robust.attacks.linf import levels_within
from tfgan_robust.evaluation.batching import FullBatches
from tfgan_robust.networks.logits import LogitsFn, as_floats

_LEVELS = 255


def to_levels(
    images: np.ndarray, attacked: np.ndarray, eps: float
) -> np.ndarray:
    """Rounds attacked images to the nearest of 256 levels within the ball.

    Args:
        images: uint8 [batch, height, width, channels].
        attacked: float32, shaped alike, in [0, 1].
        eps: L-infinity radius on the [0, 1] pixel scale.

    Returns:
        uint8, shaped alike.
    """
    clean = images.astype(np.int64)
    change = np.round(attacked.astype(np.float64) * _LEVELS) - clean
    most = levels_within(eps)
    moved = clean + np.clip(change, -most, most)
    return np.clip(moved, 0, _LEVELS).astype(np.uint8)


class StoredImages:
    """Judges what fooled a classifier once more, as images of 256 levels.

    An image whose rounding undoes the attack counts as correct: an attack
    that aims at stored images might do better, which an audit looks for.

    Args:
        logits_fn: The classifier that was fooled, in inference mode.
        images: uint8 [n, height, width, channels].
        labels: int64 [n].
        execution: Batch size and compilation.
    """

    def __init__(
        self,
        logits_fn: LogitsFn,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        execution: Execution,
    ) -> None:
        self._images, self._labels = images, labels
        self._batches = FullBatches(execution.batch_size, self._work)
        self._judge = as_graph(
            lambda images, labels: judge(logits_fn(images), images, labels),
            jit_compile=resolve_jit_compile(execution.jit_compile),
        )

    def add(self, outcome: Outcome, eps: float, done: Finished) -> None:
        """Takes an image that was fooled; most wait for a full batch.

        Args:
            outcome: Whose `stored` tells, after `flush`, whether it is fooled
                as an image of 256 levels.
            eps: L-infinity radius on the [0, 1] pixel scale.
            done: What fooled.
        """
        clean = self._images[done.number][None]
        rounded = to_levels(clean, done.image[None], eps)[0]
        self._batches.add((outcome, done.number, rounded))

    def flush(self) -> None:
        """Judges all that wait."""
        self._batches.flush()

    def _work(
        self, batch: list[tuple[Outcome, int, np.ndarray]], count: int
    ) -> None:
        numbers = np.array([number for _, number, _ in batch])
        rounded = np.stack([image for *_, image in batch])
        fooled = self._judge(
            tf.constant(as_floats(rounded)), tf.constant(self._labels[numbers])
        ).fooled.numpy()
        for place, (outcome, number, _) in enumerate(batch[:count]):
            outcome.stored[number] = fooled[place]
