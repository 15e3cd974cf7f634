"""Classifiers that spoil an evaluation are refused; honest ones pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.classifiers.loading import Classifier, load_classifier
from tfgan_robust.classifiers.preflight import check_classifier
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
    """Gets all `pictures` correct: a class's logit is how bright its row is."""
    head = [layers.Flatten(), layers.Dense(classes)]
    model = keras.Sequential([keras.Input(SHAPE), *before, *head, *after])
    rows = np.repeat(np.eye(SHAPE[0])[:, :classes], 12, axis=0)
    dense = next(x for x in model.layers if isinstance(x, layers.Dense))
    dense.set_weights([scale * (rows - 0.25), np.linspace(0, 0.1, classes)])
    return model


def wrap(model=None, outputs="logits"):
    return Classifier.from_keras(model or network(), outputs=outputs)


def refused(classifier, split=None, **settings):
    with pytest.raises(UsageError) as error:
        check_classifier(classifier, *(split or pictures()), **settings)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("count", "batch_size"), [(1, 1), (1, 128), (3, 1), (40, 16), (40, 128)]
)
def test_honest_logits_pass(count, batch_size):
    check_classifier(wrap(), *pictures(count), batch_size=batch_size)


def test_images_and_labels_are_checked_first():
    images, labels = pictures()
    assert "divide" in refused(wrap(), (images.astype(np.float32), labels))


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_honest_probabilities_pass(kind):
    softmax = layers.Softmax(dtype=kind)
    model = network(after=[softmax])
    check_classifier(wrap(model, "probabilities"), *pictures())
    message = refused(wrap(model))
    assert message.startswith("The model answers with probabilities")
    assert "say `outputs=probabilities`" in message


@pytest.mark.parametrize("outputs", ["logits", "probabilities"])
def test_honest_saved_models_pass_and_others_do_not(tmp_path, outputs):
    after = [layers.Softmax()] if outputs == "probabilities" else []
    network(after=after).export(tmp_path / "m", verbose=False)
    classifier = load_classifier(model=tmp_path / "m", outputs=outputs)
    check_classifier(classifier, *pictures())
    (other,) = {"logits", "probabilities"} - {outputs}
    wrong = load_classifier(model=tmp_path / "m", outputs=other)
    assert f"`outputs={outputs}`" in refused(wrong)


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
    message = refused(wrap(model, outputs), split)
    floats = split[0] / np.float32(255)
    assert refused(wrap(model, outputs), (floats, split[1])) == message
    right = 40 // classes
    assert "expects pixels from 0 to 255" in message
    assert f"{right} of 40 images correct on [0, 1], 40 on [0, 255]" in message
    assert "keras.layers.Rescaling(255) in front" in message
    remedied = keras.Sequential(
        [keras.Input(SHAPE), layers.Rescaling(255), model]
    )
    check_classifier(wrap(remedied, outputs), *split)


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
        message = refused(classifier, (images, labels), batch_size=count)
        assert f"{right} of {count} images correct" in message
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
