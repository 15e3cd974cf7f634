"""The places of a batch: who is in them, and who comes next."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import Problem
from tfgan_robust.networks.logits import as_floats


class Finished(NamedTuple):
    """The verdict on one run of an attack on one image.

    Attributes:
        number: Which image.
        fooled: Whether it is fooled.
        predicted: Its class now.
        size: Norm of its perturbation.
        image: float32 [height, width, channels], the attacked image.
        work: Advances that it took.
    """

    number: int
    fooled: bool
    predicted: int
    size: float
    image: np.ndarray
    work: int


class Job(NamedTuple):
    """One run of an attack on one image.

    Attributes:
        number: Which image.
        attempt: Number of the run: restarts of each target in turn.
        target: The class to be taken for; the label if there is none.
    """

    number: int
    attempt: int
    target: int


class Slots:
    """The places of a batch, and who is in them."""

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, size: int
    ) -> None:
        self._all_images, self._all_labels = images, labels
        self.size = size
        self.shape = tuple(images.shape[1:])
        self._jobs: list[Job | None] = [None] * size
        self._images = np.zeros((size, *self.shape), np.float32)
        self._labels = np.zeros(size, np.int64)
        self._targets = np.zeros(size, np.int64)
        self._noise: tuple[np.ndarray, ...] | None = None

    @property
    def live(self) -> int:
        """Places that somebody is in."""
        return sum(job is not None for job in self._jobs)

    @property
    def empty(self) -> np.ndarray:
        """Which places nobody is in, bool [size]."""
        return np.array([job is None for job in self._jobs])

    def fill(
        self,
        take: Callable[[], Job | None],
        draw: Callable[[Sequence[Job]], tuple[np.ndarray, ...]],
    ) -> np.ndarray | None:
        """Puts jobs into empty places; tells which places are new, if any."""
        places, jobs = [], []
        for place in np.flatnonzero(self.empty):
            job = take()
            if job is None:
                break
            places.append(place)
            jobs.append(job)
            self._jobs[place] = job
        if not jobs:
            return None
        indices = [job.number for job in jobs]
        self._images[places] = as_floats(self._all_images[indices])
        self._labels[places] = self._all_labels[indices]
        self._targets[places] = [job.target for job in jobs]
        drawn = draw(jobs)
        if self._noise is None:
            self._noise = tuple(
                np.zeros((self.size, *part.shape[1:]), np.float32)
                for part in drawn
            )
        for held, part in zip(self._noise, drawn, strict=True):
            held[places] = part
        fresh = np.zeros(self.size, bool)
        fresh[places] = True
        return fresh

    def problem(self, eps: tf.Tensor) -> Problem:
        """Returns the batch as it stands."""
        # Copied: on a CPU a tensor may share an array's memory.
        return Problem(
            tf.constant(self._images.copy()),
            tf.constant(self._labels.copy()),
            tf.constant(self._targets.copy()),
            tuple(tf.constant(part.copy()) for part in self._noise or ()),
            eps,
        )

    def shrink(self, size: int, state: Any) -> Any:
        """Moves those who are left, and their state, into fewer places."""
        live = np.flatnonzero(~self.empty)
        places = np.concatenate([live, np.flatnonzero(self.empty)])[:size]
        self.size = size
        self._jobs = [self._jobs[place] for place in places]
        self._images = self._images[places]
        self._labels = self._labels[places]
        self._targets = self._targets[places]
        self._noise = tuple(part[places] for part in self._noise or ())
        chosen = tf.constant(places)
        return tf.nest.map_structure(lambda t: tf.gather(t, chosen), state)

    def retire(self, report: Any, steps: np.ndarray) -> Iterator[Finished]:
        """Empties the places of those who are done."""
        finished, verdict, sizes = report
        places = np.flatnonzero(finished.numpy() & ~self.empty)
        if not len(places):
            return
        fooled = verdict.fooled.numpy()
        predicted, sizes = verdict.predicted.numpy(), sizes.numpy()
        images = verdict.images.numpy()
        for place in places:
            job = self._jobs[place]
            if job is None:
                continue
            self._jobs[place] = None
            yield Finished(
                job.number,
                bool(fooled[place]),
                int(predicted[place]),
                float(sizes[place]),
                images[place].copy(),
                int(steps[place]),
            )
