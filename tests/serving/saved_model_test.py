"""SavedModels: their signatures, equality with Keras, and their check."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from served import SHAPE, random_classifier
from toys import small_vgg

from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.serving import checking, saved_model

NAMES = ("cat", "dog", "émeu", "fox")


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return random_classifier(NAMES, seed=0)


@pytest.fixture(scope="module")
def saved(
    classifier: keras.Model, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model"
    saved_model.write(classifier, NAMES, path)
    return path


@pytest.fixture(scope="module")
def signatures(saved: Path) -> Any:
    loaded = tf.saved_model.load(str(saved))
    # Signatures do not keep what they came from alive.
    yield loaded.signatures
    del loaded


def uint8_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(256, size=shape, dtype=np.uint8)


def logits_of_files(signatures: Any, *files: tf.Tensor) -> np.ndarray:
    answer = signatures["serve_image"](image_bytes=tf.stack(files))
    return answer["logits"].numpy()


def logits_of_uint8(signatures: Any, images: np.ndarray) -> np.ndarray:
    return signatures["serve_uint8"](images=tf.constant(images))[
        "logits"
    ].numpy()


def test_signatures_have_the_documented_inputs_and_outputs(signatures):
    image = (None, *SHAPE)
    inputs = {
        name: {
            key: (spec.dtype, tuple(spec.shape))
            for key, spec in function.structured_input_signature[1].items()
        }
        for name, function in signatures.items()
    }
    outputs = {
        name: {
            key: (spec.dtype, tuple(spec.shape))
            for key, spec in function.structured_outputs.items()
        }
        for name, function in signatures.items()
    }
    answer = (tf.float32, (None, len(NAMES)))
    answers = {"logits": answer, "probabilities": answer}
    assert inputs == {
        "serving_default": {"images": (tf.float32, image)},
        "serve_uint8": {"images": (tf.uint8, image)},
        "serve_image": {"image_bytes": (tf.string, (None,))},
        "labels": {"class_numbers": (tf.int64, (None,))},
    }
    assert outputs == {
        "serving_default": answers,
        "serve_uint8": answers,
        "serve_image": {**answers, "status": (tf.string, (None,))},
        "labels": {"labels": (tf.string, (None,))},
    }


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_logits_and_probabilities_equal_keras(signatures, classifier, batch):
    images = np.random.default_rng(batch).random(
        (batch, *SHAPE), dtype=np.float32
    )
    answer = signatures["serving_default"](images=tf.constant(images))
    expected = classifier(images, training=False).numpy()
    assert np.ptp(expected) > 0.1  # else everything would be equal
    np.testing.assert_allclose(answer["logits"], expected, rtol=0, atol=1e-5)
    exponents = np.exp(expected - expected.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(
        answer["probabilities"],
        exponents / exponents.sum(axis=-1, keepdims=True),
        atol=1e-5,
    )


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_uint8_and_png_equal_float(signatures, batch):
    images = uint8_images(batch, *SHAPE)
    expected = signatures["serving_default"](
        images=tf.constant(images / np.float32(255))
    )["logits"]
    from_files = logits_of_files(
        signatures, *[tf.io.encode_png(image) for image in images]
    )
    from_uint8 = logits_of_uint8(signatures, images)
    np.testing.assert_allclose(from_uint8, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(from_files, expected, rtol=0, atol=1e-5)


def test_larger_images_are_resized_with_antialiasing(signatures):
    # Of multiples of 64, no weighted mean below ends in .5, which rounding
    # errors would round to either side.
    large = uint8_images(48, 48, 3) // 64 * 64
    # A triangle as wide as three pixels on each side of the centre.
    centres = 3 * np.arange(16) + 1
    weights = np.maximum(
        0, 3 - np.abs(centres[:, None] - np.arange(48)[None, :])
    )
    weights = weights / weights.sum(axis=1, keepdims=True)
    small = np.einsum("ih,jw,hwc->ijc", weights, weights, large)
    np.testing.assert_allclose(
        logits_of_files(signatures, tf.io.encode_png(large)),
        logits_of_uint8(signatures, np.round(small)[None].astype(np.uint8)),
        atol=1e-5,
    )


def test_files_of_all_kinds_go_into_one_batch(signatures):
    colour = np.array([200, 30, 90], np.uint8)
    plain = np.broadcast_to(colour, (*SHAPE[:2], 3))
    grey = np.full((40, 20, 1), 128, np.uint8)
    opacity = uint8_images(*SHAPE[:2], 1)
    answers = logits_of_files(
        signatures,
        tf.io.encode_jpeg(grey),
        tf.io.encode_png(grey),
        tf.io.encode_png(np.concatenate([plain, opacity], axis=-1)),
    )
    middle = np.full((1, *SHAPE), 128, np.uint8)
    expected = logits_of_uint8(
        signatures, np.concatenate([middle, middle, plain[None]])
    )
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_a_colour_jpeg_of_another_size_is_close_to_its_pixels(signatures):
    rows, columns = np.mgrid[0:20, 0:33] * 6
    smooth = np.stack([rows, columns, rows + columns], -1).clip(0, 255)
    smooth = smooth.astype(np.uint8)
    jpeg = logits_of_files(signatures, tf.io.encode_jpeg(smooth, quality=100))
    png = logits_of_files(signatures, tf.io.encode_png(smooth))
    other = logits_of_files(signatures, tf.io.encode_png(smooth[:, :, ::-1]))
    assert np.abs(jpeg - png).max() < 0.1 * np.abs(other - png).max()


def test_labels_are_the_class_names(signatures):
    numbers = tf.constant([2, 0, 3, 1, 4, -1], tf.int64)
    labels = signatures["labels"](class_numbers=numbers)["labels"].numpy()
    assert [label.decode() for label in labels] == [
        *(NAMES[number] for number in (2, 0, 3, 1)), "", "",
    ]  # fmt: skip


def test_one_bad_file_costs_no_other_its_answer(signatures):
    images = uint8_images(2, *SHAPE)
    files = [tf.io.encode_png(image).numpy() for image in images]
    jpeg = tf.io.encode_jpeg(images[0]).numpy()
    bad = [b"", b"no image", files[0][:60], jpeg[:99]]
    given = [files[0], *bad, files[1]]
    answer = signatures["serve_image"](image_bytes=tf.constant(given))
    expected = logits_of_uint8(signatures, images)
    logits = answer["logits"].numpy()
    np.testing.assert_allclose(logits[[0, -1]], expected, atol=1e-5)
    assert np.isnan(logits[1:-1]).all()
    assert np.isnan(answer["probabilities"].numpy()[1:-1]).all()
    assert [status.decode() for status in answer["status"].numpy()] == [
        saved_model.OK, *4 * [saved_model.UNREADABLE], saved_model.OK,
    ]  # fmt: skip
    alone = signatures["serve_image"](image_bytes=tf.constant([b"bad"]))
    assert np.isnan(alone["logits"].numpy()).all()


def test_empty_batches_have_empty_answers(signatures):
    empty = {
        "serving_default": {"images": tf.zeros((0, *SHAPE))},
        "serve_uint8": {"images": tf.zeros((0, *SHAPE), tf.uint8)},
        "serve_image": {"image_bytes": tf.zeros([0], tf.string)},
        "labels": {"class_numbers": tf.zeros([0], tf.int64)},
    }
    assert set(empty) == set(signatures)
    for name, given in empty.items():
        for key, found in signatures[name](**given).items():
            assert found.shape[0] == 0, (name, key)
            if key in ("logits", "probabilities"):
                assert found.shape == (0, len(NAMES))


def test_gradients_flow_through_what_was_saved(signatures, classifier):
    images = tf.constant(uint8_images(2, *SHAPE) / 255, tf.float32)
    gradients = []
    for function in (
        lambda x: signatures["serving_default"](images=x)["logits"],
        lambda x: classifier(x, training=False),
    ):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(function(images)[:, 0])
        gradients.append(tape.gradient(total, images).numpy())
    assert np.abs(gradients[1]).max() > 0
    np.testing.assert_allclose(*gradients, atol=1e-5)


def test_mixed_precision_is_loaded_as_float32(classifier, tmp_path):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = small_vgg(SHAPE, len(NAMES), classifier_width=0.05)
    finally:
        keras.config.set_dtype_policy(previous)
    mixed.set_weights(classifier.get_weights())
    mixed.save(tmp_path / "classifier.keras")
    converted = load_float32(tmp_path / "classifier.keras")
    images = uint8_images(2, *SHAPE) / np.float32(255)
    expected = classifier(images, training=False)
    assert np.abs(mixed(images, training=False) - expected).max() > 1e-4
    np.testing.assert_allclose(
        converted(images, training=False), expected, atol=1e-6
    )
    assert {layer.compute_dtype for layer in converted.layers} == {"float32"}


def test_a_damaged_classifier_is_reported(tmp_path):
    damaged = tmp_path / "classifier.keras"
    damaged.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UsageError, match="classifier.keras cannot be loaded"):
        load_float32(damaged)


def test_check_finds_a_model_that_answers_otherwise(saved, tmp_path):
    random_classifier(NAMES, seed=1).save(tmp_path / "other.keras")
    with pytest.raises(TfganRobustError, match="serving_default differ"):
        checking.check_export("savedmodel", saved, tmp_path / "other.keras")
