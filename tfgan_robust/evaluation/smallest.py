"""The smallest perturbations that fool, along the ways of the attacks."""

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import NORMS, Verdict, choose, judge
from tfgan_robust.attacks.compile import as_graph, resolve_jit_compile
from tfgan_robust.attacks.engine.execution import Execution
from tfgan_robust.attacks.engine.slots import Finished
from tfgan_robust.evaluation.batching import FullBatches
from tfgan_robust.networks.logits import LogitsFn, as_floats
from tfgan_robust.reports.results import Smallest

# The border is found to 1/1000 of the perturbation.
NUM_HALVINGS = 10


def shorten(
    logits_fn: LogitsFn,
    images: tf.Tensor,
    labels: tf.Tensor,
    attacked: tf.Tensor,
) -> Verdict:
    """Moves attacked images towards the clean ones while they still fool.

    By bisection, as the Boundary attack begins (arXiv:1712.04248).

    Args:
        logits_fn: The classifier in inference mode.
        images: float32 [batch, height, width, channels] in [0, 1], classified
            correctly.
        labels: Integer [batch].
        attacked: Shaped as `images`, in [0, 1].

    Returns:
        The nearest fooling point that was found between each two; the
        attacked image where that does not fool.
    """

    def halve(
        count: tf.Tensor, below: tf.Tensor, above: tf.Tensor, nearest: Verdict
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, Verdict]:
        middle = (below + above) / 2
        share = middle[:, tf.newaxis, tf.newaxis, tf.newaxis]
        points = images + share * (attacked - images)
        here = judge(logits_fn(points), points, labels)
        return (
            count + 1,
            tf.where(here.fooled, below, middle),
            tf.where(here.fooled, middle, above),
            Verdict(
                nearest.fooled,
                choose(here.fooled, points, nearest.images),
                tf.where(here.fooled, here.predicted, nearest.predicted),
            ),
        )

    start = judge(logits_fn(attacked), attacked, labels)
    zero = tf.zeros_like(labels, tf.float32)
    *_, nearest = tf.while_loop(
        lambda count, *_: count < NUM_HALVINGS,
        halve,
        (tf.constant(0), zero, zero + 1, start),
    )
    return Verdict(
        start.fooled,
        choose(start.fooled, nearest.images, attacked),
        nearest.predicted,
    )


class SmallestSearch:
    """Shortens perturbations that fool, and keeps the smallest.

    Most attacks use the whole radius even where less would do.

    Args:
        logits_fn: The classifier that was fooled, in inference mode.
        images: uint8, or float32 in [0, 1], [n, height, width, channels].
        labels: int64 [n].
        norm: "linf" or "l2".
        execution: Batch size and compilation.
        kept: Where perturbations are kept, and what is kept there already.
    """

    def __init__(
        self,
        logits_fn: LogitsFn,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        norm: str,
        execution: Execution,
        kept: Smallest,
    ) -> None:
        self._images, self._labels, self._kept = images, labels, kept
        self._batches = FullBatches(execution.batch_size, self._work)

        def search(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found = shorten(logits_fn, *batch)
            sizes = NORMS[norm].size(found.images - batch[0])
            return *found, sizes

        self._search = as_graph(
            search, jit_compile=resolve_jit_compile(execution.jit_compile)
        )

    def add(self, attack: str, done: Finished) -> None:
        """Takes an image that was fooled; most wait for a full batch."""
        self._batches.add((attack, done))

    def flush(self) -> None:
        """Shortens all that wait."""
        self._batches.flush()

    def _work(self, batch: list[tuple[str, Finished]], count: int) -> None:
        numbers = np.array([done.number for _, done in batch])
        attacked = np.stack([done.image for _, done in batch])
        fooled, images, predicted, sizes = (
            part.numpy()
            for part in self._search(
                tf.constant(as_floats(self._images[numbers])),
                tf.constant(self._labels[numbers]),
                tf.constant(attacked),
            )
        )
        for place, (attack, done) in enumerate(batch[:count]):
            if fooled[place]:
                self._kept.offer(
                    done.number,
                    float(sizes[place]),
                    attack,
                    int(predicted[place]),
                    images[place],
                )
