"""SavedModels: what their signatures may be, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
from toys import gradient_signs, linear_batch, linear_model

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.images import check_images
from tfgan_robust.errors import UsageError

SHAPE = (4, 4, 3)


def load(path, outputs="logits"):
    return Classifier.from_saved_model(path, outputs=outputs)


def refused(path):
    with pytest.raises(UsageError) as error:
        load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def save_module(path, answers, spec=None, signature="serving_default"):
    """Saves a classifier that knows nothing of Keras."""
    module = tf.Module()
    kernel, bias = linear_model().get_weights()
    module.kernel, module.bias = tf.Variable(kernel), tf.Variable(bias)

    @tf.function(input_signature=[spec or tf.TensorSpec([None, *SHAPE])])
    def classify(pictures):
        flat = tf.reshape(tf.cast(pictures, tf.float32), [-1, 48])
        return answers(flat @ module.kernel + module.bias)

    signatures = {signature: classify} if signature else {}
    tf.saved_model.save(module, path, signatures=signatures)
    return path


def assert_same_signs(classifier):
    np.testing.assert_array_equal(
        gradient_signs(classifier.logits_fn, *linear_batch()),
        gradient_signs(linear_model(), *linear_batch()),
    )


def check_saved_model(classifier, name):
    images, _ = linear_batch()
    assert classifier.image_shape == SHAPE
    assert classifier.num_classes == 3
    assert classifier.description.split(" (")[0] == f"SavedModel {name}"
    assert {tuple(v.shape) for v in classifier.variables} == {(48, 3), (3,)}
    model = linear_model()
    np.testing.assert_allclose(
        tf.nn.softmax(classifier.logits_fn(images)),
        tf.nn.softmax(model(images)),
        rtol=1e-5,
    )
    assert_same_signs(classifier)


def test_a_saved_model_that_keras_exported(tmp_path):
    model = linear_model()
    model.export(tmp_path / "exported", verbose=False)
    classifier = load(tmp_path / "exported")
    check_saved_model(classifier, "exported")


def test_a_version_says_whose_it_is(tmp_path):
    path = save_module(tmp_path / "served" / "12", lambda x: {"logits": x})
    check_saved_model(load(path), "served/12")


def both(logits):
    return {"a_first": tf.nn.softmax(logits), "logits": logits}


@pytest.mark.parametrize(
    ("answers", "outputs"),
    [
        (lambda logits: {"scores": logits}, "logits"),
        (lambda logits: {"p": tf.nn.softmax(logits)}, "probabilities"),
        # An output of that name is taken as that.
        (both, "logits"),
        (both, "probabilities"),
    ],
    ids=["logits", "probabilities", "both", "both, told otherwise"],
)
def test_saved_models_that_know_nothing_of_keras(tmp_path, answers, outputs):
    path = save_module(tmp_path / "m", answers)
    check_saved_model(load(path, outputs), "m")


@pytest.mark.parametrize("kind", [tf.float16, tf.bfloat16, tf.float64])
def test_a_saved_model_of_another_precision_can_be_attacked(tmp_path, kind):
    spec = tf.TensorSpec([None, *SHAPE], kind)
    path = save_module(tmp_path / "m", lambda logits: {"p": logits}, spec)
    classifier = load(path)
    assert classifier.logits_fn(linear_batch()[0]).dtype == tf.float32
    assert_same_signs(classifier)


def test_a_saved_model_of_one_batch_size_is_refused(tmp_path):
    spec = tf.TensorSpec([8, *SHAPE])
    path = save_module(tmp_path / "m", lambda logits: {"p": logits}, spec)
    message = refused(path)
    assert "free batch dimension" in message and "(8, 4, 4, 3)" in message


@pytest.mark.parametrize("part", ["graph", "variables"])
def test_a_damaged_saved_model_is_refused_by_name(tmp_path, part):
    path = save_module(tmp_path / "m", lambda logits: {"p": logits})
    names = {"graph": "saved_model.pb", "variables": "variables/*data*"}
    (file,) = path.glob(names[part])
    file.write_bytes(file.read_bytes()[:20])
    message = refused(path)
    assert "cannot be loaded as a SavedModel" in message
    assert str(path) in message


def test_a_saved_model_with_nameless_choices_is_refused(tmp_path):
    path = save_module(
        tmp_path / "m", lambda logits: {"one": logits, "two": logits}
    )
    message = refused(path)
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
    message = refused(path)
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
    message = refused(path)
    assert "takes one batch of images" in message and received in message
    assert message.endswith(
        "; export it with float32 images, [None, height, width, channels]."
    )


def test_a_saved_model_of_one_output_is_refused_with_a_remedy(tmp_path):
    path = save_module(tmp_path / "m", lambda logits: {"p": logits[:, :1]})
    message = refused(path)
    assert "output shape (None, 1); for yes or no, end it in two" in message


def test_a_saved_model_of_channels_first_is_refused_with_a_remedy(tmp_path):
    spec = tf.TensorSpec([None, 3, 4, 4])
    path = save_module(tmp_path / "m", lambda logits: {"p": logits}, spec)
    images, labels = linear_batch()
    with pytest.raises(UsageError) as error:
        check_images(images.numpy(), labels.numpy(), load(path))
    assert str(error.value).endswith(
        "Received: images of (4, 4, 3); the classifier takes channels first: "
        "put keras.layers.Permute((3, 1, 2)) in front of it."
    )
