"""Anybody's classifier: what is loaded, what it answers, what is refused."""

import dataclasses
import doctest
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import gradient_signs, linear_batch, linear_model

from tfgan_robust.classifiers import loading
from tfgan_robust.classifiers.loading import (
    Classifier,
    load_classifier,
    load_float32,
)
from tfgan_robust.errors import UsageError
from tfgan_robust.runs.presets import resolve

SHAPE = (4, 4, 3)
PIXELS = 48


def save(model, folder, name="classifier.keras"):
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / name)
    return folder / name


def fake_run(folder, model, **settings):
    path = save(model, folder / "best").parents[1]
    resolved = dataclasses.asdict(resolve({"dataset": "digits"}, settings))
    (path / "config.json").write_text(json.dumps({"settings": resolved}))
    return path


def refused(**arguments):
    with pytest.raises(UsageError) as error:
        load_classifier(**arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_run_gives_its_best_classifier(tmp_path):
    model = linear_model()
    run = fake_run(tmp_path / "run", model)
    classifier = load_classifier(run_dir=run)
    assert classifier.image_shape == SHAPE
    assert classifier.num_classes == 3
    assert classifier.description == "run (best)"
    assert len(classifier.variables) == len(model.variables)
    images, _ = linear_batch()
    np.testing.assert_array_equal(classifier.logits_fn(images), model(images))


def test_best_and_last_are_told_apart(tmp_path):
    run = fake_run(tmp_path / "run", linear_model())
    other = linear_model()
    other.set_weights([2 * weight for weight in other.get_weights()])
    save(other, run / "last")
    images, _ = linear_batch()
    for checkpoint, factor in (("best", 1), ("last", 2)):
        classifier = load_classifier(run_dir=run, checkpoint=checkpoint)
        assert checkpoint in classifier.description
        np.testing.assert_allclose(
            classifier.logits_fn(images),
            factor * linear_model()(images).numpy(),
            rtol=1e-5,
            atol=1e-6,
        )


def test_a_run_without_that_classifier_is_refused(tmp_path):
    run = fake_run(tmp_path / "run", linear_model())
    message = refused(run_dir=run, checkpoint="last")
    assert "no last classifier yet" in message and str(run) in message


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    assert "no config.json" in refused(run_dir=tmp_path)
    assert "no config.json" in refused(run_dir=tmp_path / "absent")


def test_a_keras_file_of_logits(tmp_path):
    path = save(linear_model(), tmp_path)
    classifier = load_classifier(model=path)
    assert classifier.description == "classifier.keras"
    images, _ = linear_batch()
    expected = linear_model()(images)
    np.testing.assert_array_equal(classifier.logits_fn(images), expected)


def test_probabilities_are_attacked_as_their_logits_are(tmp_path):
    path = save(linear_model("softmax"), tmp_path)
    images, labels = linear_batch()
    logits_fn = Classifier.from_keras(linear_model()).logits_fn
    from_probabilities = load_classifier(model=path, outputs="probabilities")
    np.testing.assert_allclose(
        tf.nn.softmax(from_probabilities.logits_fn(images)),
        tf.nn.softmax(logits_fn(images)),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(
        gradient_signs(from_probabilities.logits_fn, images, labels),
        gradient_signs(logits_fn, images, labels),
    )


def test_probabilities_of_zero_have_finite_logits():
    model = linear_model("softmax")
    model.set_weights([np.zeros((PIXELS, 3)), np.array([500.0, 0, -500])])
    images, _ = linear_batch()
    assert np.any(model(images) == 0)
    logits = Classifier.from_keras(model, outputs="probabilities").logits_fn(
        images
    )
    assert np.all(np.isfinite(logits))
    assert np.all(np.argmax(logits, axis=-1) == 0)


def test_answers_in_inference_mode_whatever_the_caller_does():
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    images, _ = linear_batch()
    logits_fn = Classifier.from_keras(model).logits_fn
    expected = model(images, training=False)
    np.testing.assert_array_equal(logits_fn(images), expected)
    np.testing.assert_allclose(
        logits_fn(images[:1]), expected[:1], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("load", ["file", "from_keras"])
def test_mixed_precision_is_measured_in_float32(tmp_path, load, nested):
    model = linear_model(dtype="mixed_bfloat16")
    if nested:
        model = keras.Sequential([keras.Input(SHAPE), model])
    if load == "file":
        classifier = load_classifier(model=save(model, tmp_path))
    else:
        classifier = Classifier.from_keras(model)
    images, _ = linear_batch()
    logits = classifier.logits_fn(images)
    assert logits.dtype == tf.float32
    expected = linear_model()(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=1e-6)


def test_mixed_precision_keeps_the_averages_of_batch_normalisation(tmp_path):
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.BatchNormalization(dtype="mixed_bfloat16"),
            keras.layers.Dropout(0.5, dtype="mixed_bfloat16"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, dtype="float32"),
        ]
    )
    model(linear_batch()[0], training=True)
    loaded = load_float32(save(model, tmp_path))
    for kept, written in zip(
        loaded.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(kept, written)


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path):
    message = refused(model=tmp_path)
    assert "cannot be loaded as a SavedModel" in message


def test_a_missing_model_is_refused(tmp_path):
    assert "no model at" in refused(model=tmp_path / "absent.keras")


@pytest.mark.parametrize("damage", ["text", "half", "empty"])
def test_a_damaged_keras_file_is_refused_by_name(tmp_path, damage):
    path = save(linear_model(), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(
        {"text": b"no model", "half": whole[: len(whole) // 2], "empty": b""}[
            damage
        ]
    )
    message = refused(model=path)
    assert "cannot be loaded as a Keras model" in message
    assert str(path) in message


@pytest.mark.parametrize(
    "arguments", [{}, {"run_dir": "runs/a", "model": "b.keras"}]
)
def test_exactly_one_source_must_be_given(arguments):
    assert "either `run_dir` or `model`" in refused(**arguments)


def test_unknown_outputs_are_refused(tmp_path):
    message = refused(model=tmp_path, outputs="scores")
    assert "logits, probabilities" in message and "scores" in message
    for wrap in (
        lambda: Classifier.from_keras(linear_model(), outputs="scores"),
        lambda: Classifier.from_saved_model(tmp_path, outputs="scores"),
    ):
        with pytest.raises(UsageError, match="logits, probabilities.*scores"):
            wrap()


@pytest.mark.parametrize(
    ("shape", "received"),
    [((48,), "(None, 48)"), ((None, None, 3), "(None, None, None, 3)")],
)
def test_models_that_take_no_images_of_one_size_are_refused(shape, received):
    inputs = keras.Input(shape)
    pooled = inputs
    if len(shape) == 3:
        pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(pooled))
    with pytest.raises(UsageError, match="takes one batch of images") as error:
        Classifier.from_keras(model)
    assert received in str(error.value)


def test_models_of_several_inputs_are_refused():
    one, two = keras.Input(SHAPE), keras.Input(SHAPE)
    flat = keras.layers.Flatten()(keras.layers.Add()([one, two]))
    model = keras.Model([one, two], keras.layers.Dense(3)(flat))
    with pytest.raises(UsageError, match="takes one batch of images"):
        Classifier.from_keras(model)


@pytest.mark.parametrize("units", [1, None])
def test_models_that_tell_no_classes_apart_are_refused(units):
    inputs = keras.Input(SHAPE)
    outputs = inputs
    if units is not None:
        outputs = keras.layers.Dense(units)(keras.layers.Flatten()(inputs))
    with pytest.raises(UsageError, match="answers with .batch, num_classes"):
        Classifier.from_keras(keras.Model(inputs, outputs))


@keras.saving.register_keras_serializable(package="loading_test")
class Subclassed(keras.Model):
    """Wraps `linear_model` in what has no input_shape of its own."""

    def __init__(self, model=None, **kwargs):
        super().__init__(**kwargs)
        self.model = model or linear_model(dtype=self.dtype_policy)

    def call(self, images):
        return self.model(images)

    def get_config(self):
        return {**super().get_config(), "model": self.model}

    @classmethod
    def from_config(cls, config):
        model = keras.saving.deserialize_keras_object(config.pop("model"))
        return cls(model, **config)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
@pytest.mark.parametrize("load", ["file", "from_keras"])
def test_subclassed_models(tmp_path, load, dtype):
    model, (images, _) = Subclassed(dtype=dtype), linear_batch()
    model(images)
    if load == "file":
        classifier = load_classifier(model=save(model, tmp_path))
    else:
        classifier = Classifier.from_keras(model)
    assert classifier.image_shape == SHAPE
    assert classifier.num_classes == 3
    np.testing.assert_allclose(
        classifier.logits_fn(images[:2]),
        linear_model()(images[:2]),
        rtol=1e-6,
        atol=1e-6,
    )


def test_subclassed_models_that_were_never_called_are_refused():
    with pytest.raises(UsageError, match="call it on a batch.*Subclassed"):
        Classifier.from_keras(Subclassed())


def test_subclassed_models_without_symbolic_calls_are_refused():
    class Eager(keras.Model):
        def call(self, images):
            return tf.constant(images.numpy().reshape(-1, PIXELS)[:, :3])

    model = Eager()
    model(linear_batch()[0])
    with pytest.raises(UsageError, match="symbolic call.*compute_output_spec"):
        Classifier.from_keras(model)


def test_examples_of_docstrings():
    tried = doctest.testmod(loading)
    assert tried.attempted > 10 and tried.failed == 0
