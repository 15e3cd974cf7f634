"""What models take and give, as users say it."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.interface import (
    KNOWN,
    UNIT,
    candidates,
    parse_input_range,
)
from tfgan_robust.errors import UsageError

IMAGES = np.random.default_rng(0).random((3, 4, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0,1", IMAGES),
        ("0,255", 255 * IMAGES),
        ("-1,1", 2 * IMAGES - 1),
        ("-128,127", 255 * IMAGES - 128),
        ("0.5,0.4,0.3/0.2", (IMAGES - [0.5, 0.4, 0.3]) / 0.2),
        (
            "0.5,0.4,0.3/0.2,0.3,0.4",
            (IMAGES - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4],
        ),
        (
            "imagenet",
            (IMAGES - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
        ),
        ("caffe", 255 * IMAGES[..., ::-1] - [103.939, 116.779, 123.68]),
    ],
)
def test_pixels_are_what_the_text_says(text, expected):
    for images in (IMAGES, tf.constant(IMAGES)):
        found = np.asarray(parse_input_range(text)(images))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1,1",
        "255,0",
        "a,b",
        "0,1,2",
        "0.5/0",
        "0.5/-1",
        "1/2/3",
        "bgr",
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="`input_range` must be.*Received"):
        parse_input_range(text)


def test_candidates_go_with_the_channels():
    assert candidates(3) == list(KNOWN)
    assert [each.text for each in candidates(1)] == ["0,255", "-1,1"]


def test_a_classifier_is_fed_what_it_was_made_for():
    def logits_fn(images):
        return tf.reduce_mean(images, axis=[1, 2])

    classifier = Classifier(logits_fn, (4, 4, 3), 3, (), "means")
    fed = classifier.fed(parse_input_range("-1,1"))
    np.testing.assert_allclose(
        fed.logits_fn(tf.constant(IMAGES)),
        2 * IMAGES.mean(axis=(1, 2)) - 1,
        rtol=1e-5,
        atol=1e-6,
    )
    assert fed.description == "means (pixels -1,1)"
    assert fed.identity["structure"] != classifier.identity["structure"]
    # What is said of [0, 1] changes nothing.
    assert classifier.fed(UNIT).identity == classifier.identity
    with pytest.raises(UsageError, match="one number or 3"):
        classifier.fed(parse_input_range("0.5,0.5/1,1"))
