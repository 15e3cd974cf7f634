"""Networks that cannot be trained as classifiers are refused in one line."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from tfgan_robust.classifiers.trainable import check_trainable
from tfgan_robust.errors import UsageError

SHAPE = (8, 8, 3)
CLASSES = 4


class Subclassed(keras.Model):
    """Has neither an input_shape nor an output_shape."""

    def __init__(self, activation=None):
        super().__init__()
        # Created last, and not the last.
        self.head = layers.Dense(CLASSES, activation=activation)
        self.gate = layers.Dense(8 * 8 * 3, activation="sigmoid")

    def call(self, images):
        flat = keras.ops.reshape(images, (-1, 8 * 8 * 3))
        return self.head(flat * self.gate(flat))


def chain(*after, shape=SHAPE, classes=CLASSES, activation=None):
    head = [layers.Flatten(), layers.Dense(classes, activation=activation)]
    return keras.Sequential([keras.Input(shape), *head, *after])


def refused(model):
    with pytest.raises(UsageError) as error:
        check_trainable(model, SHAPE, CLASSES)
    assert "\n" not in str(error.value)
    return str(error.value)


LOGITS = {
    "sequential": chain,
    "subclassed": Subclassed,
    "unbuilt": lambda: keras.Sequential(chain().layers),
    "nested": lambda: keras.Sequential([keras.Input(SHAPE), chain()]),
    "log-softmax": lambda: chain(
        layers.Softmax(), layers.Lambda(keras.ops.log)
    ),
    "relu": lambda: chain(layers.ReLU()),
    "zero": lambda: chain(layers.Dense(CLASSES, kernel_initializer="zeros")),
    "bfloat16": lambda: chain(layers.Rescaling(1, dtype="mixed_bfloat16")),
}


@pytest.mark.parametrize("build", LOGITS.values(), ids=LOGITS)
def test_logits_of_any_model_pass(build):
    model = build()
    check_trainable(model, SHAPE, CLASSES)
    assert model.built and model.trainable_variables


def test_the_check_changes_no_variable_and_draws_no_number():
    model = chain(layers.BatchNormalization(), layers.Dropout(0.5))
    before = [np.array(v) for v in model.variables]
    keras.utils.set_random_seed(1)
    check_trainable(model, SHAPE, CLASSES)
    drawn = np.random.random(), keras.random.uniform(())
    keras.utils.set_random_seed(1)
    assert drawn == (np.random.random(), keras.random.uniform(()))
    for then, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(then, variable)


def functional_sigmoid():
    inputs = keras.Input(SHAPE)
    dense = layers.Dense(CLASSES)(layers.Flatten()(inputs))
    return keras.Model(inputs, keras.ops.sigmoid(dense))


@pytest.mark.parametrize(
    ("build", "received"),
    [
        (lambda: chain(activation="softmax"), "answers of a softmax"),
        (lambda: chain(activation="sigmoid"), "answers of a sigmoid"),
        (lambda: chain(layers.Softmax()), "answers of a softmax"),
        (lambda: chain(layers.Activation("sigmoid")), "answers of a sigmoid"),
        (lambda: chain(chain(shape=(4,), activation="sigmoid")), "sigmoid"),
        (functional_sigmoid, "answers of a sigmoid"),
        # By its answers alone.
        (lambda: Subclassed("softmax"), "answers of a softmax"),
        (lambda: chain(layers.Softmax(), layers.Rescaling(1)), "a softmax"),
    ],
)
def test_probabilities_are_refused(build, received):
    message = refused(build())
    assert "must answer with logits" in message and received in message


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((16, 16, 3), "; `image_size=16` resizes them."),
        ((16, 8, 3), "of (8, 8, 3)."),
        ((8, 8, 1), "of (8, 8, 3)."),
        ((3, 8, 8), "put keras.layers.Permute((3, 1, 2)) in front of it."),
    ],
)
def test_images_of_another_size_are_refused(shape, hint):
    message = refused(chain(shape=shape))
    assert f"takes images of {shape}" in message and message.endswith(hint)


def test_another_number_of_classes_is_refused():
    message = refused(chain(classes=7))
    assert "4 logits" in message and "Received: 7" in message
    message = refused(chain(classes=1))
    assert "output shape (None, 1); for yes or no, end it in two" in message


def test_a_free_size_is_refused_with_what_gives_it_one():
    inputs = keras.Input((None, None, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
    model = keras.Model(inputs, layers.Dense(CLASSES)(pooled))
    message = refused(model)
    assert "input shape (None, None, None, 3); with images = " in message
    assert "image_shape" not in message
    (size, save) = re.search(r"images = (.*), save (.*)\.$", message).groups()
    assert size == f"keras.Input({SHAPE})"
    assert save == "keras.Model(images, model(images))"
    images = keras.Input(SHAPE)
    check_trainable(keras.Model(images, model(images)), SHAPE, CLASSES)


def test_integers_that_would_blacken_images_are_refused():
    parts = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(CLASSES)]
    model = keras.Sequential([keras.Input(SHAPE, dtype="uint8"), *parts])
    message = refused(model)
    assert "Received: an input of uint8; build it with a float32" in message


def test_frozen_models_are_refused():
    model = chain()
    model.trainable = False
    message = refused(model)
    assert "no trainable variables" in message and "2 frozen" in message


@pytest.mark.parametrize("build", [chain, Subclassed])
def test_answers_that_are_no_numbers_are_refused(build):
    model = build()
    model(np.zeros((1, *SHAPE), np.float32))
    model.trainable_variables[0].assign(
        np.full(model.trainable_variables[0].shape, np.nan)
    )
    assert "finite numbers" in refused(model)


def test_models_that_cannot_be_built_are_refused():
    class Broken(keras.Model):
        def call(self, images):
            raise RuntimeError("out of order")

    message = refused(Broken())
    assert "cannot be built for images of (8, 8, 3)" in message
    assert "out of order" in message
