"""Auto-PGD against the published algorithm, written again step by step."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
import toys
from cases import slow
from toys import problem_of, run_attack

from tfgan_robust.attacks.apgd import APGD, _checks
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.losses import LOSSES

SHAPE = (5, 5, 2)
CLASSES = 5
EPS = np.float32(0.1)
# Bent enough to make losses rise and fall.
LOGITS_FN = toys.smooth_network()


def problem(attack, size=12, eps=EPS):
    rng = np.random.default_rng(0)
    images = rng.random((size, *SHAPE), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, 0], images[:, -1] = 0, 1
    labels = np.argmax(LOGITS_FN(images), axis=1)
    targets = (labels + 1 + np.arange(size) % (CLASSES - 1)) % CLASSES
    return problem_of(attack, images, labels, eps, targets=targets, seed=13)


def trajectory(attack, given):
    """Every iterate, the step that led on from there, and the end."""
    states = toys.trajectory(attack, LOGITS_FN, given)
    visited = np.array([state.images for state in states[:-1]])
    steps = np.array([state.step_size for state in states[1:]])
    return visited, steps, states[-1]


def looker(attack, given):
    """A function to the loss of each example and its gradient."""

    @tf.function(autograph=False)
    def look(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = LOGITS_FN(images)
            targets = given.targets if attack.targeted else None
            loss = LOSSES[attack.loss](given.labels, logits, targets)
        return loss, tape.gradient(loss, images)

    return lambda images: [part.numpy() for part in look(tf.constant(images))]


def clip(moved, clean):
    return np.clip(np.clip(moved, clean - EPS, clean + EPS), 0, 1)


class Reference:
    """Algorithm 1 of arXiv:2003.01690 for one example, as its authors ran it.

    Checks follow the moves by k, which starts at 22 % of the moves and
    shrinks by 3 % down to 6 %. The loss before the first move is taken to be
    `least`, and the step to be just halved at the beginning.
    """

    def __init__(self, clean, start, loss, gradient, moves, least):
        self.clean, self.current, self.before = clean, start, start
        self.gradient, self.step = gradient, 2 * EPS
        self.best = (loss, start, gradient)
        self.losses = [least]
        self.window = max(int(0.22 * moves), 1)
        self.sooner = max(int(0.03 * moves), 1)
        self.soonest = max(int(0.06 * moves), 1)
        self.since, self.checked, self.reduced = 0, loss, True
        self.reasons = set()

    def move(self):
        straight = clip(
            self.current + self.step * np.sign(self.gradient), self.clean
        )
        moved = straight
        if len(self.losses) > 1:
            moved = clip(
                self.current
                + np.float32(0.75) * (straight - self.current)
                + np.float32(0.25) * (self.current - self.before),
                self.clean,
            )
        self.before, self.current = self.current, moved

    def learn(self, loss, gradient):
        self.gradient = gradient
        self.losses.append(loss)
        if loss > self.best[0]:
            self.best = (loss, self.current, gradient)
        self.since += 1
        if self.since == self.window:
            self.check()
            self.since = 0
            self.window = max(self.window - self.sooner, self.soonest)

    def check(self):
        recent = self.losses[-self.window - 1 :]
        gains = sum(b > a for a, b in itertools.pairwise(recent))
        oscillates = gains <= 0.75 * self.window
        stuck = not self.reduced and self.checked >= self.best[0]
        self.reasons.add((oscillates, stuck))
        self.reduced, self.checked = oscillates or stuck, self.best[0]
        if self.reduced:
            self.step /= 2
            _, self.current, self.gradient = self.best


@pytest.mark.parametrize("moves", [30, 50])
@pytest.mark.parametrize(
    ("loss", "targeted"),
    [("cross_entropy", False), ("dlr", False), ("dlr", True)],
)
def test_takes_the_published_steps(loss, targeted, moves):
    attack = APGD(moves, loss, targeted)
    given = problem(attack)
    visited, steps, end = trajectory(attack, given)
    clean = given.images.numpy()
    start = clip(clean + EPS * given.noise[0].numpy(), clean)
    look = looker(attack, given)
    losses, gradients = look(start)
    # Cross-entropy is above 0, the authors' value, as log-odds are above this.
    least = -np.inf if loss == "cross_entropy" else 0.0
    runs = [
        Reference(*parts, moves, least)
        for parts in zip(clean, start, losses, gradients, strict=True)
    ]
    np.testing.assert_array_equal(visited[0], start)
    for index in range(1, moves + 1):
        for run in runs:
            run.move()
        current = np.array([run.current for run in runs])
        np.testing.assert_array_equal(visited[index], current)
        losses, gradients = look(current)
        for run, *news in zip(runs, losses, gradients, strict=True):
            run.learn(*news)
        np.testing.assert_array_equal(steps[index], [r.step for r in runs])
    np.testing.assert_array_equal(end.best[2], [r.best[0] for r in runs])
    np.testing.assert_array_equal(end.best[0], [r.best[1] for r in runs])
    assert len({run.step for run in runs}) > 1
    if moves == 30:  # Steps were kept, and halved for either reason.
        assert {(False, False), (True, False), (False, True)} <= set().union(
            *(run.reasons for run in runs)
        )


@pytest.mark.parametrize("moves", [100, 1000])
def test_checks_come_where_the_paper_puts_them(moves):
    """p_0 = 0, p_1 = 0.22, p_j+1 = p_j + max(p_j - p_j-1 - 0.03, 0.06)."""
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        last, before = shares[-1], shares[-2]
        shares.append(last + max(last - before - 0.03, 0.06))
    expected = [math.ceil(p * moves - 1e-9) for p in shares if p <= 1]
    table = _checks(moves).numpy()
    due = np.flatnonzero(table)
    np.testing.assert_array_equal(due, expected[1:])
    np.testing.assert_array_equal(table[due], np.diff(expected))


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        (1, [1]),
        (5, [1, 2, 3, 4, 5]),
        (10, [2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (30, [6, 11, 15, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]),
        (50, [11, 21, 30, 38, 45, 51]),
    ],
)
def test_checks_of_short_runs_are_whole_moves_apart(moves, expected):
    """int(0.22 n), sooner by int(0.03 n), no sooner than int(0.06 n)."""
    due = np.flatnonzero(_checks(moves))
    np.testing.assert_array_equal(due, [e for e in expected if e <= moves])


def test_the_start_is_on_the_surface_of_the_ball():
    attack = APGD(3)
    given = problem(attack)
    noise = given.noise[0].numpy()
    largest = np.abs(noise).max(axis=(1, 2, 3))
    np.testing.assert_allclose(largest, 1, rtol=0, atol=1e-6)
    assert 0.3 < np.abs(noise).mean() < 0.7
    clean = given.images.numpy()
    start = attack.begin(given).images.numpy()
    np.testing.assert_array_equal(start, clip(clean + EPS * noise, clean))


@pytest.mark.parametrize("eps", [*slow(0.0), 0.1])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin", "dlr"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_stays_in_ball_and_range(loss, targeted, eps, norm):
    attack = APGD(4, loss, targeted, norm)
    given = problem(attack, eps=np.float32(eps))
    visited, _, _ = trajectory(attack, given)
    changes = (visited - given.images.numpy()).reshape(5 * 12, -1)
    order = np.inf if norm == "linf" else 2
    sizes = np.linalg.norm(changes, order, axis=1)
    assert sizes.max() <= eps + 1e-6
    assert sizes.max() >= 0.9 * eps
    assert visited.min() >= 0 and visited.max() <= 1


def test_keeps_the_first_image_that_fools():
    attack = APGD(10)
    given = problem(attack, eps=np.float32(0.03))
    visited, _, _ = trajectory(attack, given)
    labels = given.labels.numpy()
    wrong = np.array(
        [np.argmax(LOGITS_FN(images), axis=1) != labels for images in visited]
    )
    result = run_attack(attack, LOGITS_FN, given)
    np.testing.assert_array_equal(result.fooled, wrong.any(axis=0))
    assert 0 < np.count_nonzero(result.fooled) < len(labels)
    first = np.where(wrong.any(axis=0), wrong.argmax(axis=0), -1)
    expected = visited[first, np.arange(len(labels))]
    np.testing.assert_allclose(result.images, expected, rtol=0, atol=1e-6)
    assert np.any(first > 0)


def test_unknown_losses_are_refused():
    with pytest.raises(UsageError, match="`loss` must be.*hinge"):
        APGD(3, "hinge")
