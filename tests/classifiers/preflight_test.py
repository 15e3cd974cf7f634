"""Classifiers that spoil an evaluation are refused; honest ones pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.interface import UNIT, parse_input_range
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.classifiers.preflight import check_classifier
from tfgan_robust.data.splits import representative_order
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
    for outputs in ("auto", "probabilities"):
        check_classifier(wrap(model, outputs), *pictures())
    message = refused(wrap(model))
    assert "to answer with logits, but its answers are prob" in message
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


def test_positive_logits_are_no_probabilities():
    check_classifier(wrap(network(after=[layers.ReLU()])), *pictures())


def test_sigmoids_do_not_pass_for_logits():
    squashed = network(after=[layers.Activation("sigmoid")])
    check_classifier(wrap(squashed, "auto"), *pictures())
    assert "say `outputs=sigmoids`" in refused(wrap(squashed))


@pytest.mark.parametrize(
    ("after", "received", "kind"),
    [
        ([], "answers from -", "logits"),
        ([layers.ReLU(), layers.Rescaling(1, 0.5)], "add up to", "logits"),
        ([layers.Activation("sigmoid")], "add up to", "sigmoids"),
        ([layers.Activation("log_softmax")], "answers from -", "logits"),
    ],
    ids=["logits", "positive", "sigmoid", "logarithms"],
)
def test_others_declared_as_probabilities_are_refused(after, received, kind):
    message = refused(wrap(network(after=after), "probabilities"))
    assert f"say `outputs={kind}`" in message
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


class Graph(keras.layers.Layer):
    """Sees images upside down wherever attacks ask."""

    def call(self, images):
        if tf.executing_eagerly():
            return images
        return keras.ops.flip(images, axis=1)


def test_other_answers_in_a_graph_are_refused():
    classifier = wrap(network(before=[Graph()]))
    message = refused(classifier)
    assert "otherwise in a graph" in message
    assert "`tf.executing_eagerly`" in message
    check_classifier(classifier, *pictures(), allow_random=True)


@pytest.mark.parametrize("offset", [1e4, 1e5])
def test_large_logits_are_no_chance_and_hide_none(offset):
    lift = layers.Rescaling(1.0, offset)
    check_classifier(wrap(network(after=[lift])), *pictures())
    message = refused(wrap(network(before=[Dropout(0.5)], after=[lift])))
    assert "differently each time" in message


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
    assert "expects other pixels than [0, 1]" in message
    assert (
        f"{right} of 40 images correct on [0, 1], 40 with `input_range=0,255`"
        in message
    )
    remedied = wrap(model, outputs).fed(parse_input_range("0,255"))
    check_classifier(remedied, *split)


@pytest.mark.parametrize("pixels", ["-1,1", "imagenet", "caffe", "0,255"])
def test_models_for_other_pixels_are_told_what_to_say(pixels):
    # The class is how bright an image is; the model is the nearest mean.
    labels = np.arange(400) % CLASSES
    noise = np.random.default_rng(0).integers(-20, 20, (400, *SHAPE))
    images = (30 + 60 * labels[:, None, None, None] + noise).astype(np.uint8)
    made_for = parse_input_range(pixels)
    undone = layers.Normalization(
        mean=np.broadcast_to(made_for.offset, 3),
        variance=np.square(np.broadcast_to(made_for.scale, 3)),
    )
    pool, dense = layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)
    model = keras.Sequential([keras.Input(SHAPE), undone, pool, dense])
    means = (30 + 60 * np.arange(CLASSES)) / 255
    kernel = np.repeat(means[None], 3, axis=0)
    dense.set_weights([100 * kernel, -150 * means**2])
    message = refused(wrap(model), (images, labels))
    assert f"`input_range={pixels}`" in message
    assert check_classifier(wrap(model).fed(made_for), images, labels) == []
    # Measured as it is, if its owner insists.
    check_classifier(wrap(model).fed(UNIT), images, labels)


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
        (200, 180, 200, True),
        # As likely by chance.
        (200, 196, 200, False),
        (200, 50, 50, False),
        # Too few images to tell.
        (8, 4, 8, False),
        (3, 0, 3, False),
    ],
)
def test_sampling_error_decides_what_is_better(
    count, right, scaled_right, is_refused
):
    images, labels = pictures(count)
    drawn = labels[representative_order(labels)]

    def logits_fn(pixels):
        as_bytes = tf.reduce_max(pixels) > 9
        wrong = tf.range(count) >= tf.where(as_bytes, scaled_right, right)
        # Sure of what is right only: the loss is small.
        sure = tf.where(wrong, 0.01, 3.0)
        named = (drawn + tf.cast(wrong, drawn.dtype)) % CLASSES
        return sure[:, None] * tf.one_hot(named, CLASSES)

    classifier = Classifier(logits_fn, SHAPE, CLASSES, (), "made up")
    if is_refused:
        message = refused(classifier, (images, labels), batch_size=count)
        assert f"{right} of {count} images correct" in message
    else:
        check_classifier(classifier, images, labels, batch_size=count)


def test_the_model_sees_256_images_only():
    seen, model = [], network()

    def logits_fn(images):
        seen.append(images.shape[0])
        return model(images)

    classifier = Classifier(logits_fn, SHAPE, CLASSES, (), "counted")
    check_classifier(classifier, *pictures(600), batch_size=100)
    # Once as it is, once as a graph, which is traced for each size.
    assert seen == [100, 100, 56, 100, 56]


def test_all_classes_are_seen_however_the_images_are_sorted():
    images, labels = pictures(2000)
    order = np.argsort(labels, kind="stable")
    model = network(before=[layers.Rescaling(1 / 255)])
    assert "input_range" in refused(wrap(model), (images[order], labels[order]))


def test_chance_is_said_and_learning_is_not():
    images, labels = pictures(400)
    assert check_classifier(wrap(), images, labels) == []
    model = network(scale=0.0)
    (note,) = check_classifier(wrap(model), images, labels)
    assert "at chance level: 64 of 256 images are correct" in note
