"""Attacks on linear classifiers, whose robust images are known exactly.

For each wrong class the worst point of the ball within the pixel range has a
closed form: in L-infinity every pixel moves to the end of its interval that
favours the class; in L2 pixels move along the difference of the weights, cut
off where they reach the pixel range, until the radius is used up.
"""

import numpy as np
import pytest
import tensorflow as tf
from cases import all_slow_but

from tfgan_robust.attacks.engine.runner import AttackRunner
from tfgan_robust.attacks.plan import for_classes, parse_attack
from tfgan_robust.attacks.table import ATTACKS

SCALES = (0.01, 1.0, 20.0, 1e4)


def furthest(images, slope, eps, norm):
    """The points of the balls and [0, 1] that are furthest along a slope."""
    if norm == "linf":
        ends = np.where(slope > 0, images + eps, images - eps)
        return np.clip(ends, 0, 1)
    low, high = np.zeros((2, len(images), 1))
    high += 2 / np.abs(slope[slope != 0]).min()
    for _ in range(100):
        middle = (low + high) / 2
        moved = np.clip(images + middle * slope, 0, 1)
        inside = np.linalg.norm(moved - images, axis=1, keepdims=True) <= eps
        low, high = (
            np.where(inside, middle, low),
            np.where(inside, high, middle),
        )
    return np.clip(images + low * slope, 0, 1)


def exact_margins(weights, bias, images, labels, eps, norm):
    """How far the labels' logits stay above all others, float64 [n]."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    margins = np.full(len(images), np.inf)
    for wrong in range(len(bias)):
        for label in set(range(len(bias))) - {wrong}:
            own = labels == label
            slope = weights[:, label] - weights[:, wrong]
            worst = furthest(flat[own], -slope, eps, norm)
            left = worst @ slope + bias[label] - bias[wrong]
            margins[own] = np.minimum(margins[own], left)
    return margins


def correct_under(name, logits_fn, images, labels, *, classes, eps, norm):
    plan = for_classes(parse_attack(name, norm=norm), classes)
    runner = AttackRunner(
        logits_fn, classes, batch_size=len(images), jit_compile="false"
    )
    clean = runner.clean(images, labels, lambda *_: None)
    outcome = runner.begin(plan, labels, clean)
    for _ in runner.run(plan, images, labels, clean, outcome, eps=eps, seed=0):
        pass
    return outcome.correct


def linear(weights, bias, scale=1.0):
    def logits_fn(images):
        flat = tf.reshape(images, [-1, len(weights)])
        return scale * (tf.matmul(flat, weights.astype(np.float32)) + bias)

    bias = bias.astype(np.float32)
    return logits_fn


def pictures(generator, count, side, channels):
    """Images with black and white pixels, where the range binds."""
    images = generator.random((count, side, side, channels), np.float32)
    images[generator.random(images.shape) < 0.2] = 0
    images[generator.random(images.shape) < 0.2] = 1
    return images


def random_case(number):
    """Weights, biases, images, labels, and a radius at which some fall."""
    generator = np.random.default_rng(number)
    classes, side = generator.integers(2, 7, size=2)
    channels = generator.choice([1, 3])
    weights = generator.normal(size=(side * side * channels, classes))
    bias = 0.3 * generator.normal(size=classes)
    images = pictures(generator, 40, side, channels)
    labels = np.argmax(images.reshape(40, -1) @ weights + bias, axis=1)
    norm = ("linf", "l2")[number % 2]
    clean = exact_margins(weights, bias, images, labels, 0.0, norm)
    reach = len(weights) if norm == "linf" else np.sqrt(len(weights))
    eps = np.median(clean) / reach * generator.uniform(0.5, 1.5)
    return weights, bias, images, labels, float(eps), norm


def check_targeted_apgd(number):
    weights, bias, images, labels, eps, norm = random_case(number)
    margins = exact_margins(weights, bias, images, labels, eps, norm)
    scale = SCALES[number // 2 % len(SCALES)]
    found = correct_under(
        "apgd-t", linear(weights, bias, scale), images, labels,
        classes=len(bias), eps=eps, norm=norm,
    )  # fmt: skip
    np.testing.assert_array_equal(found, margins > 0)
    return found


def test_targeted_apgd_leaves_exactly_the_robust_images():
    shares = [check_targeted_apgd(number).mean() for number in range(4)]
    assert 0.2 < np.mean(shares) < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4, 204))
def test_targeted_apgd_leaves_exactly_the_robust_images_of_many(number):
    check_targeted_apgd(number)


# All but one wrong class are out of reach, so that every loss has the
# direction of the margin, and all attacks that follow it reach the worst
# point.
EXACT = (
    "fgsm", "pgd-10", "pgd-10-margin", "pgd-10-dlr", "pgd-10-t", "apgd-ce-10",
    "apgd-dlr-10", "apgd-t-10", "pma-10", "pma-rival-10", "fab-t-10",
    "autoattack-fast",
)  # fmt: skip
SEARCHING = ("noise", "square-50")


def one_rival(norm):
    """A classifier with one wrong class in reach, and a telling radius."""
    generator = np.random.default_rng(5)
    weights = generator.normal(size=(48, 4))
    images = 0.4 + 0.2 * pictures(generator, 32, 4, 3)
    scores = images.reshape(32, -1) @ weights
    bias = np.array([0, np.median(scores[:, 0] - scores[:, 1]), -1e4, -1e4])
    labels = np.argmax(scores + bias, axis=1)
    clean = exact_margins(weights, bias, images, labels, 0.0, norm)
    slope = weights[:, 0] - weights[:, 1]
    eps = np.median(clean) / np.linalg.norm(slope, 1 if norm == "linf" else 2)
    return weights, bias, images, labels, float(eps)


def test_every_attack_is_tried_at_every_scale():
    plans = [parse_attack(name) for name in (*EXACT, *SEARCHING)]
    tried = {stage.attack for plan in plans for stage in plan.stages}
    composed = {name for name, row in ATTACKS.items() if row.parts}
    assert tried | composed | {"generators"} == set(ATTACKS)


@pytest.mark.parametrize(
    ("name", "norm"),
    all_slow_but(
        [("fgsm", "linf"), ("apgd-ce-10", "linf"), ("pgd-10", "l2")],
        [
            *((name, "linf") for name in (*EXACT, *SEARCHING)),
            ("fgsm", "l2"),
            ("pgd-10", "l2"),
            ("apgd-ce-10", "l2"),
            ("apgd-t-10", "l2"),
        ],
    ),
)
def test_one_network_one_figure_whatever_the_scale_of_its_logits(name, norm):
    weights, bias, images, labels, eps = one_rival(norm)
    masks = [
        correct_under(
            name, linear(weights, bias, scale), images, labels,
            classes=4, eps=eps, norm=norm,
        )
        for scale in SCALES
    ]  # fmt: skip
    robust = exact_margins(weights, bias, images, labels, eps, norm) > 0
    assert 0.2 < robust.mean() < 0.8
    for mask in masks:
        np.testing.assert_array_equal(mask, masks[0])
        if name in EXACT:
            np.testing.assert_array_equal(mask, robust)
