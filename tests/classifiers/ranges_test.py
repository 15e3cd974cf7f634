"""Which pixels a model was made for, and what is done where it is in doubt."""

import brightness
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.interface import KNOWN, UNIT, parse_input_range
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.classifiers.ranges import as_made
from tfgan_robust.errors import UsageError


@pytest.mark.parametrize("pixels", KNOWN, ids=lambda pixels: pixels.text)
@pytest.mark.parametrize("end", [None, "softmax"])
def test_a_range_that_is_clearly_better_is_taken_and_said(pixels, end):
    images, labels = brightness.images_and_labels()
    model = brightness.network(pixels, end)
    found = as_made(Classifier.from_keras(model), images, labels)
    assert found.input_range == pixels
    (note,) = found.notes
    assert f"expects pixels {pixels.text}, and was given them: 240" in note
    said = Classifier.from_keras(model, input_range=pixels)
    assert found.identity == said.identity
    assert found.description == said.description
    floats = tf.constant(images / np.float32(255))
    twin = Classifier.from_keras(brightness.network())
    np.testing.assert_allclose(
        found.logits_fn(floats), twin.logits_fn(floats), atol=1e-2
    )


def test_what_needs_nothing_is_left_as_it_is():
    images, labels = brightness.images_and_labels()
    classifier = Classifier.from_keras(brightness.network())
    found = as_made(classifier, images, labels)
    assert found.input_range == UNIT and found.notes == ()
    assert found.identity == classifier.identity
    said = Classifier.from_keras(brightness.network(KNOWN[0]), input_range=UNIT)
    assert as_made(said, images, labels) is said


def test_layers_that_normalise_count_as_a_part_of_the_model():
    images, labels = brightness.images_and_labels()
    for scale, expected in ((255, "0,1"), (1, "0,255")):
        adapted = layers.Normalization(axis=None)
        adapted.adapt(images / np.float32(scale))
        undone = layers.Rescaling(
            float(np.std(images / 255)), offset=float(np.mean(images / 255))
        )
        inner = brightness.network()
        model = keras.Sequential(
            [keras.Input(brightness.SHAPE), adapted, undone, inner]
        )
        found = as_made(Classifier.from_keras(model), images, labels)
        assert found.input_range.text == expected


def test_where_several_ranges_come_into_question_none_is_taken():
    images, labels = brightness.images_and_labels(spread=0.6)
    model = brightness.network(parse_input_range("cifar10"), sharpness=60.0)
    classifier = Classifier.from_keras(model)
    with pytest.raises(UsageError) as error:
        as_made(classifier, images, labels)
    message = str(error.value)
    assert "The model expects other pixels than [0, 1]" in message
    assert "with `input_range=cifar10`, about as many with imagenet" in message
    assert "say that" in message
    with pytest.raises(UsageError, match=r"^m\.keras expects.*; mend it\.$"):
        as_made(classifier, images, labels, name="m.keras", remedy="mend it")


def made_up(right):
    """A classifier that gets so many of 200 images right, by its pixels."""
    labels = np.arange(200) % 4
    images = np.full((200, 2, 2, 3), 255, np.uint8)

    def logits_fn(pixels):
        kinds = {1: "0,1", 255: "0,255"}
        kind = kinds.get(int(np.max(pixels)), "else")
        wrong = np.arange(200) >= right.get(kind, 0)
        sure = np.where(wrong, 0.01, 3.0).astype(np.float32)
        return sure[:, None] * tf.one_hot((labels + wrong) % 4, 4)

    classifier = Classifier(logits_fn, (2, 2, 3), 4, (), "made up")
    return classifier, images, labels


@pytest.mark.parametrize(
    ("as_it_is", "there", "end"),
    [
        (50, 180, "taken"),
        (160, 180, "taken"),
        # Better, but a figure of its own: somebody may have meant it so.
        (161, 180, "refused"),
        # As likely by chance.
        (176, 180, "left"),
        (180, 50, "left"),
    ],
)
def test_how_much_better_a_range_must_be(monkeypatch, as_it_is, there, end):
    monkeypatch.setattr(
        "tfgan_robust.classifiers.ranges.representative_order",
        lambda labels: np.arange(len(labels)),
    )
    made = made_up({"0,1": as_it_is, "0,255": there})
    if end == "refused":
        with pytest.raises(UsageError, match=f"{as_it_is} of 200 images corr"):
            as_made(*made, batch_size=200)
        return
    found = as_made(*made, batch_size=200)
    assert found.input_range.text == ("0,255" if end == "taken" else "0,1")


def test_a_file_is_loaded_again_with_the_range_that_was_found(tmp_path):
    images, labels = brightness.images_and_labels()
    brightness.network(parse_input_range("-1,1")).save(tmp_path / "m.keras")
    found = as_made(load_classifier(model=tmp_path / "m.keras"), images, labels)
    again = load_classifier(**found.source)
    assert again.identity == found.identity
