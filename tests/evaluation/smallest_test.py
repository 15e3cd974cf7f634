"""Shortened perturbations end where a linear classifier says they do."""

import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, linear_weights

from tfgan_robust.evaluation.smallest import NUM_HALVINGS, shorten

SHAPE = (4, 4, 3)


def problems(count=50):
    rng = np.random.default_rng(1)
    images = rng.random((count, *SHAPE), np.float32)
    attacked = rng.random((count, *SHAPE), np.float32)
    scores = (images.reshape(count, -1) - 0.5) @ linear_weights()
    return images, attacked, (scores > 0).astype(np.int64)


def run(images, attacked, labels, logits_fn=linear_logits):
    found = shorten(
        logits_fn,
        tf.constant(images),
        tf.constant(labels),
        tf.constant(attacked),
    )
    return [part.numpy() for part in found]


def test_the_border_is_found_between_image_and_attacked_image():
    images, attacked, labels = problems()
    fooled, nearest, predicted = run(images, attacked, labels)
    start, end = (
        (batch.reshape(50, -1).astype(np.float64) - 0.5) @ linear_weights()
        for batch in (images, attacked)
    )
    np.testing.assert_array_equal(fooled, (start > 0) != (end > 0))
    assert 10 < fooled.sum() < 40
    border = (start / (start - end))[fooled]
    change, whole = (
        (batch - images)[fooled].reshape(fooled.sum(), -1)
        for batch in (nearest, attacked)
    )
    share = np.linalg.norm(change, axis=1) / np.linalg.norm(whole, axis=1)
    # The smallest multiple of 1/1024 beyond the border.
    expected = np.ceil(border * 2**NUM_HALVINGS) / 2**NUM_HALVINGS
    np.testing.assert_allclose(share, expected, atol=1e-5)
    np.testing.assert_allclose(change, share[:, None] * whole, atol=1e-5)
    np.testing.assert_array_equal(predicted[fooled], 1 - labels[fooled])


def test_what_does_not_fool_comes_back_as_it_was():
    images, attacked, labels = problems()
    fooled, nearest, predicted = run(images, attacked, labels)
    np.testing.assert_array_equal(nearest[~fooled], attacked[~fooled])
    np.testing.assert_array_equal(predicted[~fooled], labels[~fooled])


def test_no_image_depends_on_the_others():
    images, attacked, labels = problems()
    together = run(images, attacked, labels)
    for part, alone in zip(
        together, run(images[7:8], attacked[7:8], labels[7:8]), strict=True
    ):
        np.testing.assert_array_equal(part[7:8], alone)


@pytest.mark.parametrize("islands", [1, 3])
def test_what_is_returned_fools_even_if_the_way_is_not_monotone(islands):
    images = np.zeros((1, *SHAPE), np.float32)
    attacked = np.ones((1, *SHAPE), np.float32)

    def wavy(points):
        wave = tf.sin(np.pi * islands * points[:, 0, 0, 0])
        # Fooled at the end, and wherever the wave is high.
        fooled = (wave > 0.5) | (points[:, 0, 0, 0] > 0.95)
        return tf.cast(tf.stack([~fooled, fooled], axis=-1), tf.float32)

    labels = np.zeros(1, np.int64)
    fooled, nearest, _ = run(images, attacked, labels, wavy)
    assert fooled[0] and nearest.max() < 0.96
    assert wavy(tf.constant(nearest)).numpy().argmax() == 1
