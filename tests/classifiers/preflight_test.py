"""Bad input is refused before any attack runs; honest input passes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.classifiers.loading import Classifier, load_classifier
from tfgan_robust.classifiers.preflight import check_classifier, check_images
from tfgan_robust.errors import UsageError

SHAPE = (4, 4, 3)
CLASSES = 4
layers = keras.layers


def pictures(count=40, classes=CLASSES):
    """Each class has a row of its own that is bright, on a noisy ground."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 100, (count, *SHAPE))
    labels = np.arange(count) % classes
    images[np.arange(count), labels] += 120
    return images.astype(np.uint8), labels


def network(*, before=(), after=(), scale=1.0, classes=CLASSES):
    """Gets all `pictures` right: a class's logit is how bright its row is."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            *before,
            layers.Flatten(),
            layers.Dense(classes),
            *after,
        ]
    )
    rows = np.repeat(np.eye(SHAPE[0])[:, :classes], 12, axis=0)
    dense = next(x for x in model.layers if isinstance(x, layers.Dense))
    dense.set_weights([scale * (rows - 0.25), np.linspace(0, 0.1, classes)])
    return model


def wrap(model=None, outputs="logits"):
    return Classifier.from_keras(model or network(), outputs=outputs)


def refused(classifier, images=None, labels=None, **settings):
    default = pictures()
    with pytest.raises(UsageError) as error:
        check_classifier(
            classifier,
            default[0] if images is None else images,
            default[1] if labels is None else labels,
            **settings,
        )
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    return str(error.value)


def bad_images(images, labels=None):
    return refused(wrap(), images, labels)


def bad_labels(labels):
    return refused(wrap(), None, labels)


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("batch_size", [1, 16, 128])
def test_honest_logits_pass(count, batch_size):
    check_classifier(wrap(), *pictures(count), batch_size=batch_size)


def test_the_example_is_right_on_all_pictures():
    images, labels = pictures()
    answers = wrap().logits_fn(tf.constant(images / np.float32(255)))
    np.testing.assert_array_equal(np.argmax(answers, -1), labels)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_images_from_0_to_1_pass(dtype):
    images, labels = pictures()
    images = (images / images.max()).astype(dtype)
    assert images.max() == 1
    check_classifier(wrap(), images, labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_integer_type_pass(dtype):
    images, labels = pictures()
    check_classifier(wrap(), images, labels.astype(dtype))
    check_classifier(wrap(), images, labels.tolist())


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_honest_probabilities_pass(kind):
    softmax = layers.Softmax(dtype=kind)
    model = network(after=[softmax])
    check_classifier(wrap(model, "probabilities"), *pictures())
    assert "outputs=probabilities" in refused(wrap(model))


def test_a_wrapped_function_passes():
    classifier = Classifier(network(), SHAPE, CLASSES, (), "function")
    check_classifier(classifier, *pictures())


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_honest_saved_models_pass_and_others_do_not(tmp_path, outputs):
    after = [layers.Softmax()] if outputs == "probabilities" else []
    network(after=after).export(tmp_path / "m", verbose=False)
    classifier = load_classifier(model=tmp_path / "m", outputs=outputs)
    check_classifier(classifier, *pictures())
    (other,) = {"logits", "probabilities"} - {outputs}
    wrong = load_classifier(model=tmp_path / "m", outputs=other)
    assert f"outputs={outputs}" in refused(wrong)


def test_probabilities_declared_as_logits_are_refused():
    message = refused(wrap(network(after=[layers.Softmax()])))
    assert message.startswith("The model answers with probabilities")
    assert "say `outputs=probabilities`" in message


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_small_or_bounded_logits_are_no_probabilities(activation):
    check_classifier(wrap(network(after=[layers.ReLU()])), *pictures())
    squashed = network(after=[layers.Activation(activation)], scale=0.2)
    check_classifier(wrap(squashed), *pictures())


@pytest.mark.parametrize(
    ("after", "received"),
    [
        ([], "answers from -"),
        ([layers.ReLU(), layers.Rescaling(1, 0.5)], "add up to"),
        ([layers.Activation("sigmoid")], "add up to"),
        ([layers.Activation("log_softmax")], "answers from -"),
    ],
    ids=["logits", "positive", "sigmoid", "logarithms"],
)
def test_others_declared_as_probabilities_are_refused(after, received):
    message = refused(wrap(network(after=after), "probabilities"))
    assert "if these are logits, say `outputs=logits`" in message
    assert received in message


class Spoil(keras.layers.Layer):
    """Replaces the answers for the class of the brightest first row."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def call(self, answers):
        first = keras.ops.argmax(answers, -1) == 0
        return keras.ops.where(first[:, None], self.value, answers)


@pytest.mark.parametrize(
    ("value", "nan"), [(np.nan, 10), (np.inf, 0), (-np.inf, 0)]
)
@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_answers_that_are_no_numbers_are_refused(value, nan, outputs):
    after = [layers.Softmax()] if outputs == "probabilities" else []
    message = refused(wrap(network(after=[*after, Spoil(value)]), outputs))
    assert f"NaN or infinity for 10 of 40 images, NaN for {nan}" in message


class Noise(keras.layers.Layer):
    """Active at inference too."""

    def call(self, answers):
        noise = tf.random.normal(tf.shape(answers), stddev=0.05)
        return answers + noise


class Dropout(keras.layers.Dropout):
    """Active at inference too."""

    def call(self, images, training=None):
        return super().call(images, training=True)


@pytest.mark.parametrize(
    "layer", [{"after": [Noise()]}, {"before": [Dropout(0.5)]}]
)
def test_random_answers_are_refused_unless_allowed(layer):
    classifier = wrap(network(**layer))
    message = refused(classifier)
    assert "differently each time" in message
    assert "verdicts would not repeat" in message
    assert "`allow_random`" in message
    check_classifier(classifier, *pictures(), allow_random=True)


def test_dropout_and_noise_that_rest_at_inference_pass():
    before = [layers.Dropout(0.5), layers.GaussianNoise(1.0)]
    check_classifier(wrap(network(before=before)), *pictures())


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_model_that_expects_0_to_255_is_refused(outputs, classes):
    # At [0, 1] the bias decides: always the last class.
    before = [layers.Rescaling(1 / 255)]
    after = [layers.Softmax()] if outputs == "probabilities" else []
    model = network(before=before, after=after, classes=classes)
    split = pictures(classes=classes)
    message = refused(wrap(model, outputs), *split)
    right = 40 // classes
    assert "expects pixels from 0 to 255" in message
    assert f"{right} of 40 images right on [0, 1], 40 on [0, 255]" in message
    assert "keras.layers.Rescaling(255) in front" in message
    remedied = keras.Sequential(
        [keras.Input(SHAPE), layers.Rescaling(255), model]
    )
    check_classifier(wrap(remedied, outputs), *split)


def test_a_model_that_expects_0_to_255_is_found_with_floats_too():
    images, labels = pictures()
    classifier = wrap(network(before=[layers.Rescaling(1 / 255)]))
    message = refused(classifier, images / np.float32(255), labels)
    assert "expects pixels from 0 to 255" in message


@pytest.mark.parametrize("seed", range(8))
def test_an_untrained_network_passes(seed):
    keras.utils.set_random_seed(seed)
    normal = keras.initializers.RandomNormal(stddev=0.3)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, activation="relu", bias_initializer=normal),
            layers.Flatten(),
            layers.Dense(CLASSES, bias_initializer=normal),
        ]
    )
    check_classifier(wrap(model), *pictures())


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0])
def test_a_collapsed_network_passes(scale):
    """It answers the same class for all images, until pixels reach 255."""
    generator = np.random.default_rng(3)
    kernel = scale * generator.standard_normal((48, CLASSES))
    images, labels = pictures()
    for answer in range(CLASSES):
        model = network()
        model.layers[-1].set_weights([kernel, 50.0 * np.eye(CLASSES)[answer]])
        check_classifier(wrap(model), images, labels)
        # Sorted data: all the first images are of one class.
        same = labels == 0
        check_classifier(wrap(model), images[same], labels[same])


def test_luck_at_0_to_255_is_told_from_learning_by_its_loss():
    # 70 % right on [0, 255], all by a bias that hides it on [0, 1].
    images, labels = pictures(200, 2)
    labels[:60] = 1 - labels[:60]
    model = network(classes=2, scale=5.0)
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, np.array([0, 99])])
    right = np.argmax(model(images.astype(np.float32)), -1) == labels
    assert right.mean() == 0.7
    check_classifier(wrap(model), images, labels)


@pytest.mark.parametrize(
    ("count", "right", "scaled_right", "is_refused"),
    [
        (40, 10, 40, True),
        (40, 0, 40, True),
        (200, 50, 120, True),
        (200, 54, 200, True),
        # Between chance and far better.
        (200, 50, 90, False),
        # Above chance already: whatever it expects, it is no blunder.
        (200, 100, 200, False),
        # Too few images to tell.
        (8, 4, 8, False),
        (3, 0, 3, False),
    ],
)
def test_sampling_error_decides_what_is_far_better(
    count, right, scaled_right, is_refused
):
    images, labels = pictures(count)

    def logits_fn(pixels):
        as_bytes = tf.reduce_max(pixels) > 1
        wrong = np.arange(count) >= (scaled_right if as_bytes else right)
        # Sure of what is right only: the loss is small.
        sure = np.where(wrong, 0.01, 3.0).astype(np.float32)
        answers = tf.one_hot((labels + wrong) % CLASSES, CLASSES)
        return sure[:, None] * answers

    classifier = Classifier(logits_fn, SHAPE, CLASSES, (), "made up")
    if is_refused:
        message = refused(classifier, images, labels, batch_size=count)
        assert f"{right} of {count} images right" in message
    else:
        check_classifier(classifier, images, labels, batch_size=count)


def test_the_model_sees_the_first_256_images_only():
    seen = []

    def logits_fn(images):
        seen.append(len(images))
        return network()(images)

    classifier = Classifier(logits_fn, SHAPE, CLASSES, (), "counted")
    check_classifier(classifier, *pictures(600), batch_size=100)
    assert seen == [100, 100, 56] * 2


def test_all_images_and_labels_are_checked_without_the_model():
    def logits_fn(images):
        raise AssertionError

    classifier = Classifier(logits_fn, SHAPE, CLASSES, (), "never asked")
    images, labels = pictures(600)
    check_images(images, labels, classifier)
    labels[-1] = CLASSES
    assert f"0 to {CLASSES}" in refused(classifier, images, labels)
    floats = images / np.float32(255)
    floats[-1, 0, 0, 0] = 3
    assert "0 to 3;" in refused(classifier, floats, labels)


@pytest.mark.parametrize("shape", [(0, *SHAPE), (0,)])
def test_no_images_are_refused(shape):
    message = bad_images(np.zeros(shape, np.uint8), np.zeros(0, np.int64))
    assert "no images to measure" in message


@pytest.mark.parametrize(
    ("shape", "hint"), [((8, 8, 3), True), ((4, 4, 1), False)]
)
def test_images_of_another_shape_are_refused(shape, hint):
    message = bad_images(np.zeros((40, *shape), np.uint8))
    assert "takes images of (4, 4, 3)" in message
    assert f"Received: images of {shape}" in message
    assert ("`image_size` resizes" in message) == hint


def test_one_image_without_a_batch_is_refused():
    message = bad_images(np.zeros(SHAPE, np.uint8), np.zeros(1, np.int64))
    assert "[n, height, width, channels]" in message
    assert "shape (4, 4, 3)" in message


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.bool_])
def test_images_of_other_types_are_refused(dtype):
    message = bad_images(pictures()[0].astype(dtype))
    assert "uint8, from 0 to 255, or float32, from 0 to 1" in message
    assert f"Received: {np.dtype(dtype).name}" in message


@pytest.mark.parametrize(
    ("convert", "told"),
    [
        (lambda x: x * 255, "from 0 to 255; they look like 0 to 255: divide"),
        (lambda x: 2 * x - 1, "from -1 to 1; undo their normalisation"),
        (lambda x: (x - 0.5) / 0.2, "from -2.5 to 2.5; undo"),
        (lambda x: x * 1.0001, "to 1.0001; cut off what rounding left"),
        (lambda x: x - 1e-4, "from -0.0001"),
        (lambda x: x / x, "Received: NaN in 40 of 40 images"),
    ],
    ids=["bytes", "signed", "standardised", "above", "below", "nan"],
)
def test_floats_outside_0_to_1_are_refused(convert, told):
    images = pictures()[0].astype(np.float64)
    images -= images.min(axis=(1, 2, 3), keepdims=True)
    images /= images.max(axis=(1, 2, 3), keepdims=True)
    with np.errstate(invalid="ignore"):
        message = bad_images(convert(images))
    assert told in message


def test_images_that_are_no_array_are_refused():
    message = bad_images(pictures()[0].tolist())
    assert "np.asarray" in message and "Received: list" in message


@pytest.mark.parametrize(
    ("lowest", "highest"), [(-1, 3), (0, 4), (1, 4), (0, 255)]
)
def test_labels_out_of_range_are_refused(lowest, highest):
    labels = pictures()[1].clip(max(lowest, 0))
    labels[3], labels[4] = lowest, highest
    message = bad_labels(labels)
    assert "knows 4 classes, from 0 to 3" in message
    assert f"labels from {lowest} to {highest}" in message


@pytest.mark.parametrize("kind", [np.float32, np.bool_, np.str_])
def test_labels_that_are_no_integers_are_refused(kind):
    message = bad_labels(pictures()[1].astype(kind))
    assert "labels.astype(np.int64)" in message and "Received: " in message


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_one_hot_labels_are_refused(kind):
    message = bad_labels(np.eye(CLASSES, dtype=kind)[pictures()[1]])
    assert "labels.argmax(axis=-1)" in message and "(40, 4)" in message


def test_labels_in_a_column_are_refused():
    message = bad_labels(pictures()[1][:, None])
    assert "labels[:, 0]" in message and "(40, 1)" in message


def test_labels_of_another_number_are_refused():
    message = bad_labels(pictures(39)[1])
    assert "40 images and 39 labels" in message
