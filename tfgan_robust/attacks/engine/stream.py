"""Runs an attack over any number of images, in batches that stay full.

An image that is done makes room for the next one in the middle of an attack,
so that the network hardly looks at images whose verdict is known; at the end
batches shrink. What an attack draws for an image depends on the seed, the
attack and the image's place alone, and no row of a batch changes another one,
so that this changes no verdict.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.base import (
    NORMS,
    Attack,
    Problem,
    advance_active,
    choose_each,
    draw_batch,
    is_done,
)
from tfgan_robust.attacks.engine.slots import Finished, Job, Slots
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.networks.logits import LogitsFn

# Rounding of the ball's border in float32.
_BALL_TOLERANCE = 1e-6
# Smaller batches take hardly less time.
_SMALLEST_BATCH = 8
# Calls of the network between two looks for examples that are done.
_GRADIENT_STRIDE, _QUERY_STRIDE = 2, 10


class Stream:
    """Runs one attack on many images, compiled once.

    Args:
        attack: What to run.
        name: Of the attack; part of what decides its random numbers.
        logits_fn: The classifier in inference mode.
        norm: "linf" or "l2": of the ball that is checked.
        batch_size: Images in a batch.
        jit_compile: Whether XLA compiles it.
    """

    def __init__(
        self,
        attack: Attack,
        name: str,
        logits_fn: LogitsFn,
        *,
        norm: str,
        batch_size: int,
        jit_compile: bool,
    ) -> None:
        self.attack = attack
        self._name, self._norm = name, norm
        self._batch_size = batch_size
        self._sizes = [batch_size] if jit_compile else batch_sizes(batch_size)
        backward = attack.passes[1]
        stride = _GRADIENT_STRIDE if backward else _QUERY_STRIDE

        def begin(problem: Problem, old: Any, keep: tf.Tensor) -> Any:
            return choose_each(keep, old, attack.begin(problem))

        def advance(problem: Problem, state: Any) -> Any:
            _, state = tf.while_loop(
                lambda count, now: (
                    (count < stride) & tf.reduce_any(~is_done(attack, now))
                ),
                lambda count, now: (
                    count + 1,
                    advance_active(attack, logits_fn, problem, now),
                ),
                (tf.constant(0), state),
            )
            change = state.verdict.images - problem.images
            sizes = NORMS[norm].size(change)
            return state, (is_done(attack, state), state.verdict, sizes)

        self._begin = _Graphs(begin, jit_compile)
        self._first = _Graphs(attack.begin, jit_compile)
        self._advance = _Graphs(advance, jit_compile)

    def run(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        jobs: Iterator[Job],
        retry: Callable[[Finished], Job | None],
        *,
        eps: float,
        seed: int,
        expected: int,
        first: int = 0,
    ) -> Iterator[Finished]:
        """Runs jobs until there are none.

        Args:
            images: uint8, or float32 in [0, 1], [n, height, width, channels].
            labels: int64 [n].
            jobs: At most one at a time for an image.
            retry: Asked for the next job of an image that is not fooled.
            eps: Radius, in the units of the ball.
            seed: Decides, with the name, the job and `first`, what is drawn.
            expected: Number of images among the jobs.
            first: Place of the first image among all of an evaluation.

        Yields:
            Each job's verdict.

        Raises:
            TfganRobustError: if an image left the ball or the pixel range.
        """
        slots = Slots(images, labels, self._size(expected))
        again: deque[Job] = deque()
        own = zlib.crc32(self._name.encode())

        def take() -> Job | None:
            # Old images first, so that few are in the works at a time.
            return again.popleft() if again else next(jobs, None)

        def draw(jobs: Sequence[Job]) -> tuple[np.ndarray, ...]:
            seeds = [
                (seed, own, first + job.number, job.attempt) for job in jobs
            ]
            return draw_batch(self.attack, slots.shape, seeds)

        state: Any = None
        radius = tf.constant(eps, tf.float32)
        while True:
            fresh = slots.fill(take, draw)
            if slots.live == 0:
                return
            if fresh is not None:
                problem = slots.problem(radius)
                state = self._begun(problem, state, fresh)
            smaller = self._size(slots.live)
            if smaller < slots.size:
                state = slots.shrink(smaller, state)
                problem = slots.problem(radius)
            state, report = self._advance(problem, state)
            for done in slots.retire(report, state.step.numpy()):
                self._check(done, eps)
                if not done.fooled and (job := retry(done)) is not None:
                    again.append(job)
                yield done

    def _begun(self, problem: Problem, state: Any, fresh: np.ndarray) -> Any:
        """Returns a state in which images that are fresh have begun."""
        if state is None:
            return self._first(problem)
        return self._begin(problem, state, tf.constant(~fresh))

    def _size(self, live: int) -> int:
        """The smallest batch that holds so many; XLA compiles but one."""
        fitting = [size for size in self._sizes if size >= live]
        return min(fitting, default=self._batch_size)

    def _check(self, done: Finished, eps: float) -> None:
        low, high = float(done.image.min()), float(done.image.max())
        # Written so that NaN fails too.
        if not (
            done.size <= eps + _BALL_TOLERANCE * max(1.0, eps)
            and low >= 0
            and high <= 1
        ):
            raise TfganRobustError(
                f"{self._name} left its bounds: largest change "
                f"{done.size:.6g} at eps={eps:.6g}, pixels in "
                f"[{low:.6g}, {high:.6g}]."
            )


def batch_sizes(most: int) -> list[int]:
    """Returns the sizes that batches shrink through, the largest first."""
    sizes = [most]
    while sizes[-1] // 2 >= _SMALLEST_BATCH:
        sizes += [sizes[-1] * 3 // 4, sizes[-1] // 2]
    return sizes


class _Graphs:
    """A function of a problem, compiled once for batches of any size.

    Once for each size where a classifier wants to know it, and for XLA, which
    sees but one.
    """

    def __init__(self, function: Callable[..., Any], jit_compile: bool) -> None:
        self._function = tf.function(
            function, jit_compile=jit_compile, autograph=False
        )
        self._by_size = jit_compile
        self._compiled: dict[int, Callable[..., Any]] = {}

    def __call__(self, problem: Problem, *rest: Any) -> Any:
        inputs = (problem, *rest)
        if not self._by_size and not self._compiled:
            try:
                any_size = tf.nest.map_structure(_of_any_size, inputs)
                self._compile(0, any_size)
            # Whatever code says that cannot do without a number.
            except Exception:
                self._by_size = True
        size = len(problem.images) if self._by_size else 0
        if size not in self._compiled:
            self._compile(size, inputs)
        return self._compiled[size](*inputs)

    def _compile(self, size: int, inputs: Any) -> None:
        # Asked for, since TensorFlow warns of functions that are traced often
        # while they are called.
        compiled = self._function.get_concrete_function(*inputs)
        self._compiled[size] = compiled


def _of_any_size(value: tf.Tensor) -> tf.TensorSpec:
    """What has axes has the batch first."""
    return tf.TensorSpec(
        [None, *value.shape[1:]] if value.shape.rank else [], value.dtype
    )
