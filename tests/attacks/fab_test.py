"""FAB against brute force and against closed forms."""

import numpy as np
import pytest
import tensorflow as tf
import toys
from toys import run_attack

from tfgan_robust.attacks.fab import FAB, onto_hyperplane

SHAPE = (4, 4, 3)
PIXELS = 48


def bisected(point, normal, offset):
    """Smallest t whose box around the point reaches the hyperplane, or inf.

    The farthest that a box of half-width t, cut to the pixel range, reaches
    along w grows with t.
    """
    point, normal = np.float64(point), np.float64(normal)
    distance = offset - normal @ point
    direction = np.sign(distance) * np.sign(normal)

    def reach(t):
        moved = np.clip(point + t * direction, 0, 1)
        return abs(normal @ (moved - point))

    if reach(1) < abs(distance):
        return np.inf
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if reach(middle) < abs(distance):
            low = middle
        else:
            high = middle
    return high


def random_problems(count=200, seed=0):
    """Points, normals and offsets, with all that is special about them."""
    rng = np.random.default_rng(seed)
    points = rng.random((count, PIXELS))
    points[rng.random((count, PIXELS)) < 0.2] = 0
    points[rng.random((count, PIXELS)) < 0.2] = 1
    normals = rng.normal(size=(count, PIXELS))
    normals *= rng.choice([1e-3, 1, 30], (count, PIXELS))
    normals[rng.random((count, PIXELS)) < 0.2] = 0
    # From near to just out of reach, on both sides.
    away = rng.choice([-1, 1], count)
    most = np.array(
        [
            np.abs(
                normal
                @ (np.where(side * normal > 0, 1, 0) * (normal != 0) - point)
            )
            for point, normal, side in zip(points, normals, away, strict=True)
        ]
    )
    # Pixels without a weight count for nothing there.
    share = rng.choice([1e-3, 0.1, 0.5, 0.9, 0.999, 1.2], count)
    offsets = np.sum(points * normals, axis=1) + away * share * most
    return (
        points.astype(np.float32),
        normals.astype(np.float32),
        offsets.astype(np.float32),
    )


def changes(points, normals, offsets):
    moved = onto_hyperplane(
        tf.reshape(points, [-1, *SHAPE]),
        tf.reshape(normals, [-1, *SHAPE]),
        tf.constant(offsets),
    )
    return moved.numpy().reshape(-1, PIXELS)


def test_projects_onto_hyperplanes_as_bisection_does():
    points, normals, offsets = random_problems()
    found = changes(points, normals, offsets)
    smallest = np.array(
        [bisected(*parts) for parts in zip(points, normals, offsets,
                                           strict=True)]
    )  # fmt: skip
    reachable = np.isfinite(smallest)
    assert 20 < np.count_nonzero(~reachable) < 80
    np.testing.assert_allclose(
        np.abs(found).max(axis=1)[reachable],
        smallest[reachable],
        rtol=1e-3,
        atol=1e-5,
    )
    ends = points + found
    assert ends.min() >= -1e-6 and ends.max() <= 1 + 1e-6
    on_plane = np.sum(np.float64(ends) * normals, axis=1)
    scale = np.abs(normals).sum(axis=1)
    np.testing.assert_allclose(
        (on_plane / scale)[reachable],
        (offsets / scale)[reachable],
        rtol=0,
        atol=1e-5,
    )
    # Weightless pixels have no reason to move.
    assert np.all(found[normals == 0] == 0)


def test_goes_as_far_as_it_can_where_the_hyperplane_is_out_of_reach():
    points, normals, offsets = random_problems()
    found = changes(points, normals, offsets)
    for point, normal, offset, change in zip(
        points, normals, offsets, found, strict=True
    ):
        if np.isinf(bisected(point, normal, offset)):
            side = np.sign(offset - np.float64(normal) @ point)
            end = np.where(side * normal > 0, 1, 0)
            end = np.where(normal == 0, point, end)
            np.testing.assert_allclose(point + change, end, atol=1e-6)


@pytest.mark.parametrize("kind", ["no-normal", "on-the-plane", "no-room"])
def test_stays_where_no_step_makes_sense(kind):
    points = np.full((1, PIXELS), 0.5, np.float32)
    normals = np.ones((1, PIXELS), np.float32)
    offsets = np.array([PIXELS / 2 + 1], np.float32)
    if kind == "no-normal":
        normals[:] = 0
    elif kind == "on-the-plane":
        offsets[:] = PIXELS / 2
    else:
        points[:], offsets[:] = 1, PIXELS + 1
    found = changes(points, normals, offsets)
    np.testing.assert_array_equal(found, np.zeros_like(found))


def test_finds_the_solution_among_kinks_of_many_sizes():
    # Every Newton step frees itself of few pixels.
    points = np.geomspace(1e-6, 1, PIXELS, dtype=np.float32)[np.newaxis]
    normals = np.geomspace(1e6, 1, PIXELS, dtype=np.float32)[np.newaxis]
    reach = np.sum(normals * np.minimum(0.9, points))
    offsets = np.array([np.sum(points * normals) - reach], np.float32)
    found = changes(points, normals, offsets)
    np.testing.assert_allclose(np.abs(found).max(), 0.9, atol=1e-4)
    assert np.all(points + found >= -1e-6)


def test_points_of_a_batch_do_not_know_of_each_other():
    problems = random_problems(16)
    together = changes(*problems)
    alone = np.concatenate(
        [changes(*(part[i : i + 1] for part in problems)) for i in range(16)]
    )
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def weights(classes=4):
    return (
        np.random.default_rng(2)
        .normal(size=(PIXELS, classes))
        .astype(np.float32)
    )


def linear_logits(images):
    return tf.matmul(tf.reshape(images, [-1, PIXELS]) - 0.5, weights())


def images_and_logits(logits_fn, size=24):
    images = np.random.default_rng(0).random((size, *SHAPE), np.float32)
    images[:, 0], images[:, -1] = 0, 1
    return images, logits_fn(tf.constant(images)).numpy()


def problem_of(logits_fn, eps, target_rank=0):
    """All images are right, and another class is aimed at."""
    images, logits = images_and_logits(logits_fn)
    labels, targets = np.argsort(-logits, axis=1)[:, [0, 1 + target_rank]].T
    return toys.problem_of(FAB(1), images, labels, eps, targets=targets)


def boundaries(problem):
    """Smallest L-infinity change to where any other class is as likely."""
    logits = linear_logits(problem.images).numpy()
    points = problem.images.numpy().reshape(-1, PIXELS)
    found = np.full(logits.shape, np.inf)
    for index, label in enumerate(problem.labels.numpy()):
        for other in range(logits.shape[1]):
            if other != label:
                normal = weights()[:, other] - weights()[:, label]
                # w (x - 1/2) = 0.
                found[index, other] = bisected(
                    points[index], normal, np.float64(normal).sum() / 2
                )
    return found


@pytest.mark.parametrize("target_rank", [0, 1])
def test_finds_the_smallest_perturbation_of_a_linear_classifier(target_rank):
    """Fooled exactly if the boundary is within the radius.

    A step may cross the boundary of a class that is not aimed at, so only
    the nearest of all bounds what is fooled from below.
    """
    given = problem_of(linear_logits, 0.0, target_rank)
    distances = boundaries(given)
    aimed = distances[np.arange(len(distances)), given.targets.numpy()]
    nearest = distances.min(axis=1)
    assert np.all(np.isfinite(aimed)) and np.ptp(aimed) > 0.02
    for radii, expected in (
        (0.5 * nearest, False),
        (0.99 * nearest, False),
        (1.01 * aimed, True),
        (1.5 * aimed, True),
    ):
        # A radius for each image.
        eps = tf.constant(radii, tf.float32)
        result = run_attack(FAB(20), linear_logits, given._replace(eps=eps))
        np.testing.assert_array_equal(result.fooled, [expected] * len(radii))
        changed = np.abs(result.images - given.images).max(axis=(1, 2, 3))
        assert np.all(changed <= radii + 1e-7)
        if not expected:
            # What lies outside the ball is no answer.
            np.testing.assert_array_equal(result.images, given.images)


def bent_logits(images):
    rng = np.random.default_rng(5)
    into = tf.constant(rng.normal(size=(PIXELS, 20)), tf.float32)
    out = tf.constant(rng.normal(size=(20, 4)), tf.float32)
    hidden = tf.tanh(tf.matmul(tf.reshape(images, [-1, PIXELS]) - 0.5, into))
    return tf.matmul(hidden, out)


def linearised(point, label, target):
    """The boundary as it looks from here: w x = b."""
    image = tf.constant(point.reshape(1, *SHAPE), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(image)
        logits = bent_logits(image)[0]
        gap = logits[target] - logits[label]
    normal = tape.gradient(gap, image).numpy().ravel().astype(np.float64)
    assert np.abs(normal).min() > 1e-5  # Rounding flips no sign.
    return normal, normal @ point - float(gap)


def nearest_change(point, normal, offset):
    t = bisected(point, normal, offset)
    side = np.sign(offset - normal @ point) * np.sign(normal)
    return np.clip(point + min(t, 1) * side, 0, 1) - point


def test_takes_the_published_steps():
    """Algorithm 1 of arXiv:1907.02044 for L-infinity, one image at a time."""
    given = problem_of(bent_logits, 0.0)  # Nothing fits into this ball.
    attack, state = FAB(6), None
    state = attack.begin(given)
    current = given.images.numpy().reshape(-1, PIXELS).astype(np.float64)
    clean = current.copy()
    backward = 0
    for _ in range(6):
        state = attack.advance(bent_logits, given, state)
        for index, point in enumerate(current):
            label = int(given.labels[index])
            plane = linearised(point, label, int(given.targets[index]))
            here = nearest_change(point, *plane)
            there = nearest_change(clean[index], *plane)
            near, far = np.abs(here).max(), np.abs(there).max()
            bias = min(near / (near + far), 0.1)
            moved = (1 - bias) * (point + 1.05 * here) + bias * (
                clean[index] + 1.05 * there
            )
            moved = np.clip(moved, 0, 1)
            image = tf.constant(moved.reshape(1, *SHAPE), tf.float32)
            if int(tf.argmax(bent_logits(image)[0])) != label:
                moved = clean[index] + 0.9 * (moved - clean[index])
                backward += 1
            current[index] = moved
        np.testing.assert_allclose(
            state.images.numpy().reshape(-1, PIXELS), current, atol=1e-4
        )
    assert 24 < backward < 6 * 24


def test_a_verdict_is_of_an_image_in_the_ball_that_fools():
    given = problem_of(bent_logits, 0.06)
    result = run_attack(FAB(10), bent_logits, given)
    answers = np.argmax(bent_logits(result.images), axis=1)
    np.testing.assert_array_equal(result.fooled, answers != given.labels)
    assert 0 < np.count_nonzero(result.fooled) < len(answers)
    changed = np.abs(result.images - given.images).max(axis=(1, 2, 3))
    assert changed.max() <= 0.06 + 1e-7
    assert np.all(changed[~result.fooled] == 0)


def test_nan_logits_outside_the_ball_decide_nothing():
    def logits_fn(images):
        logits = bent_logits(images)
        moved = tf.reduce_any(images != clean, axis=[1, 2, 3])
        nan = tf.fill(tf.shape(logits), float("nan"))
        return tf.where(moved[:, tf.newaxis], nan, logits)

    given = problem_of(bent_logits, 1e-4)
    clean = given.images
    result = run_attack(FAB(3), logits_fn, given)
    assert not np.any(result.fooled)
    np.testing.assert_array_equal(result.images, clean)
    far = run_attack(FAB(3), logits_fn, given._replace(eps=tf.constant(1.0)))
    assert np.all(far.fooled)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_equals_eager(jit_compile):
    given = problem_of(linear_logits, 0.02)
    compiled = tf.function(
        lambda problem: run_attack(FAB(4), linear_logits, problem),
        jit_compile=jit_compile,
        autograph=False,
    )
    found, expected = compiled(given), run_attack(FAB(4), linear_logits, given)
    np.testing.assert_array_equal(found.fooled, expected.fooled)
    assert 0 < np.count_nonzero(found.fooled) < 24
    np.testing.assert_allclose(found.images, expected.images, atol=1e-5)
