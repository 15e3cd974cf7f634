"""Anybody's classifier: what is loaded, what it answers, what is refused."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.classifiers.loading import (
    Classifier,
    load_classifier,
    load_float32,
)
from tfgan_robust.errors import UsageError
from tfgan_robust.runs.presets import resolve

SHAPE = (4, 4, 3)
PIXELS = 48


def fgsm(logits_fn, images, labels):
    step = {"eps": 0.05, "num_steps": 1, "step_size": 0.05}
    return pgd(logits_fn, images, labels, **step)


def batch(size=6):
    generator = np.random.default_rng(0)
    images = generator.random((size, *SHAPE), np.float32)
    return tf.constant(images), tf.constant(np.arange(size) % 3)


def linear_model(activation=None, dtype=None):
    """Three classes; differences of weights are far from zero."""
    dense = keras.layers.Dense(3, activation=activation, dtype=dtype)
    model = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(dtype=dtype), dense]
    )
    generator = np.random.default_rng(1)
    levels = generator.permuted(np.tile([-0.2, 0.0, 0.3], (PIXELS, 1)), axis=1)
    model.set_weights([levels, np.array([0.1, -0.1, 0.0])])
    return model


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
    return str(error.value)


def test_a_run_gives_its_best_classifier(tmp_path):
    model = linear_model()
    run = fake_run(tmp_path / "run", model)
    classifier = load_classifier(run_dir=run)
    assert classifier.image_shape == SHAPE
    assert classifier.num_classes == 3
    assert classifier.description == "run (best)"
    assert len(classifier.variables) == len(model.variables)
    images, _ = batch()
    np.testing.assert_array_equal(classifier.logits_fn(images), model(images))


def test_best_and_last_are_told_apart(tmp_path):
    run = fake_run(tmp_path / "run", linear_model())
    other = linear_model()
    other.set_weights([2 * weight for weight in other.get_weights()])
    save(other, run / "last")
    images, _ = batch()
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
    images, _ = batch()
    expected = linear_model()(images)
    np.testing.assert_array_equal(classifier.logits_fn(images), expected)


def test_probabilities_are_attacked_as_their_logits_are(tmp_path):
    path = save(linear_model("softmax"), tmp_path)
    images, labels = batch()
    logits_fn = Classifier.from_keras(linear_model()).logits_fn
    from_probabilities = load_classifier(model=path, outputs="probabilities")
    np.testing.assert_allclose(
        tf.nn.softmax(from_probabilities.logits_fn(images)),
        tf.nn.softmax(logits_fn(images)),
        rtol=1e-5,
    )
    one = fgsm(from_probabilities.logits_fn, images, labels)
    other = fgsm(logits_fn, images, labels)
    assert not np.array_equal(one, images)
    np.testing.assert_array_equal(one, other)


def test_probabilities_of_zero_have_finite_logits():
    model = linear_model("softmax")
    model.set_weights([np.zeros((PIXELS, 3)), np.array([500.0, 0, -500])])
    images, _ = batch()
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
    images, _ = batch()
    logits_fn = Classifier.from_keras(model).logits_fn
    expected = model(images, training=False)
    np.testing.assert_array_equal(logits_fn(images), expected)
    np.testing.assert_allclose(
        logits_fn(images[:1]), expected[:1], rtol=1e-5, atol=1e-6
    )


def test_mixed_precision_is_measured_in_float32(tmp_path):
    path = save(linear_model(dtype="mixed_bfloat16"), tmp_path)
    model = load_float32(path)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    images, _ = batch()
    logits = Classifier.from_keras(model).logits_fn(images)
    assert logits.dtype == tf.float32
    expected = linear_model()(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=1e-6)


def test_mixed_precision_of_a_nested_model_is_measured_in_float32(tmp_path):
    inner = linear_model(dtype="mixed_bfloat16")
    outer = keras.Sequential([keras.Input(SHAPE), inner])
    images, _ = batch()
    model = load_float32(save(outer, tmp_path))
    np.testing.assert_allclose(
        model(images), linear_model()(images), rtol=1e-6, atol=1e-6
    )


def test_mixed_precision_keeps_the_averages_of_batch_normalisation(tmp_path):
    layers = [
        keras.layers.BatchNormalization(dtype="mixed_bfloat16"),
        keras.layers.Dropout(0.5, dtype="mixed_bfloat16"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, dtype="float32"),
    ]
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    images, _ = batch()
    model(images, training=True)
    loaded = load_float32(save(model, tmp_path))
    for kept, written in zip(
        loaded.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(kept, written)


def test_a_saved_model_that_keras_exported(tmp_path):
    model = linear_model()
    model.export(tmp_path / "exported", verbose=False)
    classifier = load_classifier(model=tmp_path / "exported")
    check_saved_model(classifier, "exported")


def save_module(path, answers, spec=None, signature="serving_default"):
    """Saves a classifier that knows nothing of Keras."""
    module = tf.Module()
    kernel, bias = linear_model().get_weights()
    module.kernel, module.bias = tf.Variable(kernel), tf.Variable(bias)

    @tf.function(input_signature=[spec or tf.TensorSpec([None, *SHAPE])])
    def classify(pictures):
        flat = tf.reshape(tf.cast(pictures, tf.float32), [-1, PIXELS])
        return answers(flat @ module.kernel + module.bias)

    signatures = {signature: classify} if signature else {}
    tf.saved_model.save(module, path, signatures=signatures)
    return path


def test_a_version_says_whose_it_is(tmp_path):
    path = save_module(tmp_path / "served" / "12", lambda x: {"logits": x})
    classifier = load_classifier(model=path)
    assert classifier.description == "SavedModel served/12"


def check_saved_model(classifier, name):
    images, labels = batch()
    assert classifier.image_shape == SHAPE
    assert classifier.num_classes == 3
    assert classifier.description == f"SavedModel {name}"
    assert {tuple(v.shape) for v in classifier.variables} == {(48, 3), (3,)}
    model = linear_model()
    np.testing.assert_allclose(
        tf.nn.softmax(classifier.logits_fn(images)),
        tf.nn.softmax(model(images)),
        rtol=1e-5,
    )
    one = fgsm(classifier.logits_fn, images, labels)
    other = fgsm(model, images, labels)
    np.testing.assert_array_equal(one, other)


def test_a_saved_model_with_one_output_of_logits(tmp_path):
    path = save_module(tmp_path / "one", lambda logits: {"scores": logits})
    check_saved_model(load_classifier(model=path), "one")


def test_a_saved_model_with_one_output_of_probabilities(tmp_path):
    path = save_module(
        tmp_path / "p", lambda logits: {"p": tf.nn.softmax(logits)}
    )
    classifier = load_classifier(model=path, outputs="probabilities")
    check_saved_model(classifier, "p")


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_an_output_named_logits_is_taken_as_that(tmp_path, outputs):
    path = save_module(
        tmp_path / "both",
        lambda logits: {
            "a_first": tf.nn.softmax(logits),
            "logits": logits,
        },
    )
    check_saved_model(load_classifier(model=path, outputs=outputs), "both")


@pytest.mark.parametrize("kind", [tf.float16, tf.bfloat16, tf.float64])
def test_a_saved_model_of_another_precision_can_be_attacked(tmp_path, kind):
    spec = tf.TensorSpec([None, *SHAPE], kind)
    path = save_module(tmp_path / "m", lambda logits: {"p": logits}, spec)
    classifier = load_classifier(model=path)
    images, labels = batch()
    assert classifier.logits_fn(images).dtype == tf.float32
    one = fgsm(classifier.logits_fn, images, labels)
    other = fgsm(linear_model(), images, labels)
    np.testing.assert_array_equal(one, other)


def test_a_saved_model_of_one_batch_size_is_refused(tmp_path):
    spec = tf.TensorSpec([8, *SHAPE])
    path = save_module(tmp_path / "m", lambda logits: {"p": logits}, spec)
    message = refused(model=path)
    assert "free batch dimension" in message and "(8, 4, 4, 3)" in message


@pytest.mark.parametrize("part", ["graph", "variables"])
def test_a_damaged_saved_model_is_refused_by_name(tmp_path, part):
    path = save_module(tmp_path / "m", lambda logits: {"p": logits})
    names = {"graph": "saved_model.pb", "variables": "variables/*data*"}
    (file,) = path.glob(names[part])
    file.write_bytes(file.read_bytes()[:20])
    message = refused(model=path)
    assert "cannot be loaded as a SavedModel" in message
    assert str(path) in message


def test_a_saved_model_with_nameless_choices_is_refused(tmp_path):
    path = save_module(
        tmp_path / "m", lambda logits: {"one": logits, "two": logits}
    )
    message = refused(model=path)
    assert "output named logits" in message
    assert "inputs pictures" in message
    assert "one" in message and "two" in message


@pytest.mark.parametrize(
    ("signature", "received"), [("other", "other"), (None, "no signatures")]
)
def test_a_saved_model_without_the_signature_is_refused(
    tmp_path, signature, received
):
    path = save_module(
        tmp_path / "m", lambda logits: {"p": logits}, signature=signature
    )
    message = refused(model=path)
    assert "serving_default" in message and f"Received: {received}" in message


@pytest.mark.parametrize(
    ("spec", "received"),
    [
        (tf.TensorSpec(None), "unknown"),
        (tf.TensorSpec([None, None, None, 3]), "(None, None, None, 3)"),
        (tf.TensorSpec([None, *SHAPE], tf.uint8), "uint8"),
    ],
    ids=["no-rank", "no-size", "uint8"],
)
def test_a_saved_model_that_takes_no_float_images_is_refused(
    tmp_path, spec, received
):
    path = save_module(tmp_path / "m", lambda logits: {"p": logits}, spec)
    message = refused(model=path)
    assert "takes one batch of images" in message and received in message


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path):
    message = refused(model=tmp_path)
    assert "cannot be loaded as a SavedModel" in message


def test_a_missing_model_is_refused(tmp_path):
    assert "no model at" in refused(model=tmp_path / "absent.keras")


def test_a_class_of_another_module_is_named_with_the_way_out(tmp_path):
    package = "of this test"

    @keras.saving.register_keras_serializable(package)
    class Unheard(keras.layers.Layer):
        def call(self, images):
            return images

    inputs = keras.Input((4, 4, 3))
    outputs = keras.layers.Flatten()(Unheard()(inputs))
    path = save(keras.Model(inputs, outputs), tmp_path)
    known = keras.saving.get_custom_objects()
    kept = known.pop(f"{package}>Unheard")
    try:
        message = refused(model=path)
    finally:
        known[f"{package}>Unheard"] = kept
    assert "needs Unheard" in message and "with --import" in message
    assert len(message) < len(str(tmp_path)) + 200


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
    assert "either a run_dir or a model" in refused(**arguments)


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


def test_models_of_unknown_shapes_are_refused():
    class Subclassed(keras.Model):
        def call(self, images):
            return keras.ops.reshape(images, (-1, PIXELS))[:, :3]

    model = Subclassed()
    model(batch()[0])
    with pytest.raises(UsageError, match="takes one batch of images"):
        Classifier.from_keras(model)
