"""Anybody's classifier: what is loaded, what it answers, what is refused."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import gradient_signs, linear_batch, linear_model

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.loading import load_classifier
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


def test_a_run_gives_its_best_or_its_last_classifier(tmp_path):
    run = fake_run(tmp_path / "run", linear_model())
    other = linear_model()
    other.set_weights([2 * weight for weight in other.get_weights()])
    save(other, run / "last")
    images, _ = linear_batch()
    assert load_classifier(run_dir=run).description == "run (best)"
    for checkpoint, model in (("best", linear_model()), ("last", other)):
        classifier = load_classifier(run_dir=run, checkpoint=checkpoint)
        assert classifier.image_shape == SHAPE
        assert classifier.num_classes == 3
        assert classifier.description == f"run ({checkpoint})"
        assert len(classifier.variables) == len(model.variables)
        answers = classifier.logits_fn(images)
        np.testing.assert_array_equal(answers, model(images))


def test_a_run_without_that_classifier_is_refused(tmp_path):
    run = fake_run(tmp_path / "run", linear_model())
    message = refused(run_dir=run, checkpoint="last")
    assert "no last classifier yet; it has best." in message
    assert str(run) in message
    message = refused(run_dir=run, checkpoint="epoch-9")
    assert "no epoch-9 classifier yet" in message
    for name in ("epoch-0", "epoch-", "../best", "newest", ""):
        message = refused(run_dir=run, checkpoint=name)
        assert f"Received: checkpoint={name}." in message


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
    from_probabilities = load_classifier(model=path)
    assert from_probabilities.outputs == "probabilities"
    assert from_probabilities.description == (
        "classifier.keras (logits before its softmax)"
    )
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
    # No softmax that could be seen at the end.
    model = keras.Sequential([model, keras.layers.Rescaling(1.0)])
    images, _ = linear_batch()
    assert np.any(model(images) == 0)
    classifier = Classifier.from_keras(model)
    assert classifier.description == "Keras model (from its probabilities)"
    logits = classifier.logits_fn(images)
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


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path):
    message = refused(model=tmp_path)
    assert "cannot be loaded as a SavedModel" in message


def test_a_missing_model_is_refused(tmp_path):
    assert "no model at" in refused(model=tmp_path / "absent.keras")


@pytest.mark.parametrize("damage", ["text", "half", "empty"])
def test_a_damaged_keras_file_is_refused_by_name(tmp_path, damage):
    path = save(linear_model(), tmp_path)
    whole = path.read_bytes()
    damaged = {"text": b"no model", "half": whole[: len(whole) // 2]}
    path.write_bytes(damaged.get(damage, b""))
    message = refused(model=path)
    assert "cannot be loaded as a Keras model" in message
    assert str(path) in message


def test_a_lambda_layer_comes_with_a_remedy_for_commands(tmp_path):
    layers = [keras.layers.Lambda(lambda x: 2 * x), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    message = refused(model=save(model, tmp_path))
    assert "enable_unsafe_deserialization() first (commands" in message
    assert "--import" in message


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


def pooled(shape, units=3):
    inputs = keras.Input(shape)
    average = keras.layers.GlobalAveragePooling2D()(inputs)
    return inputs, keras.layers.Dense(units)(average)


def two_inputs():
    one, two = keras.Input(SHAPE), keras.Input(SHAPE)
    flat = keras.layers.Flatten()(keras.layers.Add()([one, two]))
    return [one, two], keras.layers.Dense(3)(flat)


def two_outputs():
    inputs, outputs = pooled(SHAPE)
    return inputs, [outputs, keras.layers.Softmax()(outputs)]


@pytest.mark.parametrize(
    ("ends", "refusal", "received"),
    [
        (lambda: 2 * [keras.Input((48,))], "takes one", "(None, 48)"),
        (lambda: pooled((None, 8, 3)), "takes one", "(None, None, 8, 3)"),
        (two_inputs, "takes one", "(None, 4, 4, 3)"),
        (two_outputs, "answers with", "outputs 0, 1"),
        (lambda: 2 * [keras.Input(SHAPE)], "answers with", "4, 4, 3)"),
    ],
    ids=[
        "flat",
        "any size",
        "inputs",
        "outputs",
        "images",
    ],
)
def test_models_that_are_no_classifiers_are_refused(ends, refusal, received):
    with pytest.raises(UsageError, match=refusal) as error:
        Classifier.from_keras(keras.Model(*ends()))
    assert received in str(error.value).partition("Received: ")[2]


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
