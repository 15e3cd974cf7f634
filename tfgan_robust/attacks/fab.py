"""Fast adaptive boundary attack: the nearest image that fools."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks import linf
from tfgan_robust.attacks.base import (
    Attack,
    Problem,
    State,
    Verdict,
    choose,
    judge,
)
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.networks.logits import LogitsFn
from tfgan_robust.networks.losses import loss_function

# Section 3 and appendix of arXiv:1907.02044: steps overshoot the boundary by
# 5 %, are drawn towards the image by at most 10 %, and go back by 10 % once
# they fool.
_OVERSHOOT, _MOST_BIAS, _BACKWARD = 1.05, 0.1, 0.9
_SMALL = 1e-8
_FAR = 1e10


@dataclasses.dataclass(frozen=True)
class FAB(Attack):
    """Targeted FAB in the L-infinity norm (arXiv:1907.02044).

    It looks for the smallest perturbation that turns the correct class into
    `Problem.targets`; an image is fooled once that fits into the ball.

    Attributes:
        num_steps: Gradient steps.
    """

    num_steps: int = 100
    passes = 2, 1

    @property
    def advances(self) -> int:
        """One for each step."""
        return self.num_steps

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int, int]
    ) -> tuple[np.ndarray, ...]:
        """Draws nothing: the start is the image."""
        return ()

    def advance(
        self, logits_fn: LogitsFn, problem: Problem, state: State
    ) -> State:
        """Projects onto the boundary as it looks from here, and judges."""
        moved = self._towards_boundary(logits_fn, problem, state.images)
        here = judge(logits_fn(moved), moved, problem.labels)
        change = moved - problem.images
        inside = linf.size(change) <= problem.eps
        fooled = here.fooled & inside
        # What lies outside the ball is no answer.
        verdict = Verdict(
            fooled,
            choose(fooled, moved, problem.images),
            tf.where(fooled, here.predicted, problem.labels),
        )
        back = problem.images + _BACKWARD * change
        return State(state.step + 1, verdict, choose(here.fooled, back, moved))

    @staticmethod
    def _towards_boundary(
        logits_fn: LogitsFn, problem: Problem, current: tf.Tensor
    ) -> tf.Tensor:
        """Equations 7 to 9: a step biased towards the image."""
        gradient, _, margins = input_gradient(
            logits_fn,
            current,
            problem.labels,
            loss_function("margin", problem.targets),
        )
        slope = tf.reduce_sum(gradient * current, axis=[1, 2, 3])
        offset = slope - margins
        here = onto_hyperplane(current, gradient, offset)
        there = onto_hyperplane(problem.images, gradient, offset)
        near = tf.maximum(linf.size(here), _SMALL)
        far = tf.maximum(linf.size(there), _SMALL)
        bias = tf.minimum(near / (near + far), _MOST_BIAS)
        bias = bias[:, tf.newaxis, tf.newaxis, tf.newaxis]
        own = current + _OVERSHOOT * here
        towards = problem.images + _OVERSHOOT * there
        return tf.clip_by_value((1 - bias) * own + bias * towards, 0.0, 1.0)


def onto_hyperplane(
    points: tf.Tensor, normal: tf.Tensor, offset: tf.Tensor
) -> tf.Tensor:
    """Returns the smallest change that moves points onto a hyperplane.

    Smallest in the L-infinity norm, within the pixel range: every pixel moves
    by the same t, or to the end of its range if that is nearer, where t
    solves sum_i |w_i| min(t, room_i) = distance. The left side is concave and
    piecewise linear, so Newton's method from t = 0 rises to the solution in
    finitely many steps and cannot pass it. Where the hyperplane misses the
    pixel range, all pixels move to their ends.

    Args:
        points: float32 [batch, height, width, channels] in [0, 1].
        normal: w, float32, shaped as `points`.
        offset: b, float32 [batch]; the hyperplane is w x = b.

    Returns:
        float32, shaped as `points`.
    """
    # Matrices, which TensorFlow reduces and broadcasts much sooner.
    pixels = points.shape[1] * points.shape[2] * points.shape[3]
    rows, normals = (tf.reshape(t, [-1, pixels]) for t in (points, normal))
    distance = offset - tf.reduce_sum(normals * rows, axis=1)
    direction = tf.sign(distance)[:, tf.newaxis] * tf.sign(normals)
    # Of no matter where a normal is 0.
    room = tf.where(direction > 0, 1 - rows, rows)
    weight = tf.abs(normals)
    most = weight * room

    def newton(_: tf.Tensor, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stuck = tf.cast(room <= t[:, tf.newaxis], tf.float32)
        taken = tf.reduce_sum(stuck * most, axis=1)
        slope = tf.reduce_sum((1 - stuck) * weight, axis=1)
        solved = (tf.abs(distance) - taken) / tf.maximum(slope, 1e-30)
        # Without free pixels nothing more can be gained.
        return t, tf.where(slope > 0, tf.maximum(t, solved), t)

    start = tf.zeros_like(distance)
    _, t = tf.while_loop(
        lambda before, now: tf.reduce_any(now > before),
        newton,
        (start - 1, start),
        maximum_iterations=100,
    )
    t = tf.minimum(t, _FAR)[:, tf.newaxis]
    return tf.reshape(direction * tf.minimum(t, room), tf.shape(points))
