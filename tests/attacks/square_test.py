"""Square attack: its schedule, its proposals, and what it keeps."""

import numpy as np
import pytest
import tensorflow as tf
import toys
from toys import problem_of, run_attack

from tfgan_robust.attacks.square import Square, _sides
from tfgan_robust.networks.losses import margin

SHAPE = (8, 6, 3)
PIXELS = 144
EPS = np.float32(0.1)


def logits_fn(images):
    rng = np.random.default_rng(5)
    into = tf.constant(rng.normal(size=(PIXELS, 20)) / 3, tf.float32)
    out = tf.constant(rng.normal(size=(20, 4)), tf.float32)
    hidden = tf.tanh(tf.matmul(tf.reshape(images, [-1, PIXELS]) - 0.5, into))
    return tf.matmul(hidden, out)


def problem(attack, size=16, *, seed=0, eps=EPS, gray=False):
    images = np.random.default_rng(0).random((size, *SHAPE), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, 0], images[:, -1] = 0, 1
    if gray:  # Nothing binds.
        images[:] = 0.5
    labels = tf.argmax(logits_fn(images), axis=1)
    return problem_of(attack, images, labels, eps, seed=seed)


def trajectory(attack, given, answer=logits_fn):
    """The images looked at, and the best after each look."""
    states = toys.trajectory(attack, answer, given)
    return (
        np.array([state.images for state in states[:-1]]),
        np.array([state.best for state in states[1:]]),
        np.array([state.best_loss for state in states[1:]]),
    )


def published_share(query):
    """Share of the image that a square covers, of 10,000 queries."""
    for last, halvings in (
        (10, 0), (50, 1), (200, 2), (500, 3), (1000, 4), (2000, 5),
        (4000, 6), (6000, 7), (8000, 8),
    ):  # fmt: skip
        if query <= last:
            return 0.8 / 2**halvings
    return 0.8 / 512


@pytest.mark.parametrize(
    ("queries", "height", "width"),
    [(10_000, 32, 32), (5000, 32, 32), (1000, 28, 28), (100, 8, 6), (1, 4, 4)],
)
def test_squares_shrink_as_published(queries, height, width):
    expected = []
    for query in range(queries):
        share = published_share(int(query / queries * 10_000))
        side = max(round((share * height * width) ** 0.5), 1)
        expected.append(min(side, height, width))
    np.testing.assert_array_equal(_sides(queries, height, width), expected)


@pytest.mark.parametrize("queries", [1, 100, 5000, 10_000, 12_000])
def test_squares_may_shrink_as_for_ten_thousand_queries(queries):
    expected = [
        max(round((published_share(query) * 32 * 32) ** 0.5), 1)
        for query in range(queries)
    ]
    found = _sides(queries, 32, 32, rescaled=False)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rescaled", [True, False])
def test_an_attack_follows_the_schedule_that_it_was_given(rescaled):
    sides = _sides(60, *SHAPE[:2], rescaled).numpy()
    assert sides[-1] == (1 if rescaled else 3)
    found = squares(Square(60, rescaled)).sum(axis=(1, 2))
    np.testing.assert_array_equal(found, sides**2)


def test_the_schedule_of_cifar10_is_the_well_known_one():
    sides = _sides(5000, 32, 32).numpy()
    changes = np.flatnonzero(np.diff(sides)) + 1
    np.testing.assert_array_equal(
        sides[[0, *changes]], [29, 20, 14, 10, 7, 5, 4, 3, 2, 1]
    )
    np.testing.assert_array_equal(
        changes, [6, 26, 101, 251, 501, 1001, 2001, 3001, 4001]
    )


def test_starts_at_vertical_stripes():
    given = problem(Square(5), size=64, gray=True)
    start = Square(5).begin(given).images.numpy()
    offsets = start - 0.5
    np.testing.assert_allclose(np.abs(offsets), EPS, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(
        offsets, np.broadcast_to(offsets[:, :1], offsets.shape)
    )
    # Columns, channels and images have signs of their own.
    shares = (offsets[:, 0] > 0).mean(axis=0)
    assert shares.min() > 0.25 and shares.max() < 0.75
    assert len({row.tobytes() for row in offsets}) == 64


def test_a_proposal_changes_one_square_by_one_sign_for_each_channel():
    attack = Square(40)
    given = problem(attack, gray=True)
    seen, best, _ = trajectory(attack, given)
    sides = _sides(40, *SHAPE[:2]).numpy()
    sizes = set()
    for query, (base, proposal) in enumerate(
        zip(best[:-1], seen[1:], strict=True)
    ):
        for before, after in zip(base, proposal, strict=True):
            change = after - before
            rows, columns = (
                np.flatnonzero(np.any(change != 0, axis=axes))
                for axes in ((1, 2), (0, 2))
            )
            for found in (rows, columns):
                # The base may be where the proposal would be.
                if len(found):
                    assert np.ptp(found) < sides[query]
            for channel in np.moveaxis(after, -1, 0):
                np.testing.assert_allclose(
                    np.abs(channel - 0.5), EPS, atol=1e-6
                )
            for channel in np.moveaxis(change, -1, 0):
                assert len(np.unique(np.sign(channel[channel != 0]))) <= 1
            sizes.add(len(rows))
    assert len(sizes) > 2


def squares(attack):
    """Where each proposal differs from the image, if none is kept."""
    given = problem(attack, size=1, gray=True)
    stripes, places, signs = given.noise
    blank = given._replace(noise=(0 * stripes, places, signs))

    def never(images):
        return tf.one_hot(tf.fill(tf.shape(images)[:1], blank.labels[0]), 4)

    seen, best, _ = trajectory(attack, blank, never)
    assert np.all(best == 0.5)
    return np.any(seen[1:, 0] != 0.5, axis=-1)


def test_squares_are_full_and_equally_likely_everywhere():
    """Places reach from the first to the last that is inside."""
    sides = _sides(2000, *SHAPE[:2]).numpy()
    marked = squares(Square(2000))
    np.testing.assert_array_equal(marked.sum(axis=(1, 2)), sides**2)
    ones = marked[sides == 1]
    assert len(ones) > 1000
    np.testing.assert_allclose(
        ones.mean(axis=0) * SHAPE[0] * SHAPE[1], 1, atol=0.6
    )


def test_the_margin_only_ever_rises_and_belongs_to_the_best():
    attack = Square(60)
    given = problem(attack)
    seen, best, losses = trajectory(attack, given)
    assert np.all(np.diff(losses, axis=0) >= 0)
    assert np.count_nonzero(np.diff(losses, axis=0) > 0) > 50
    margins = np.array(
        [margin(given.labels, logits_fn(images)) for images in seen]
    )
    np.testing.assert_allclose(
        losses, np.maximum.accumulate(margins), rtol=1e-5, atol=1e-6
    )
    chosen = margins.argmax(axis=0)
    np.testing.assert_array_equal(
        best[-1], seen[chosen, np.arange(len(chosen))]
    )


@pytest.mark.parametrize("eps", [0.0, 0.01, 0.1, 0.7])
def test_stays_in_ball_and_range(eps):
    attack = Square(30)
    given = problem(attack, eps=np.float32(eps))
    seen, best, _ = trajectory(attack, given)
    for images in (seen, best):
        assert np.abs(images - given.images.numpy()).max() <= eps + 1e-6
        assert images.min() >= 0 and images.max() <= 1


def test_a_seed_decides_every_bit():
    attack = Square(20)
    runs = [trajectory(attack, problem(attack, seed=s))[0] for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_keeps_the_first_image_that_fools_and_asks_no_more():
    attack = Square(60)
    given = problem(attack, eps=np.float32(0.03))
    seen, _, _ = trajectory(attack, given)
    labels = given.labels.numpy()
    wrong = np.array([np.argmax(logits_fn(s), axis=1) != labels for s in seen])
    result = run_attack(attack, logits_fn, given)
    np.testing.assert_array_equal(result.fooled, wrong.any(axis=0))
    assert 0 < np.count_nonzero(result.fooled) < len(labels)
    assert np.any(wrong.argmax(axis=0) > 1)
    first = np.where(wrong.any(axis=0), wrong.argmax(axis=0), -1)
    expected = seen[first, np.arange(len(labels))]
    np.testing.assert_allclose(result.images, expected, rtol=0, atol=1e-6)


def test_follows_no_gradient():
    def rounded(images):
        return tf.round(1e3 * logits_fn(images))

    attack = Square(30)
    result = run_attack(attack, rounded, problem(attack, eps=np.float32(0.05)))
    assert np.any(result.fooled)
    assert attack.passes == (1, 0)
