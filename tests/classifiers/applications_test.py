"""Backbones of keras.applications, trained for a moment, are measured right."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import applications, layers

from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.evaluation.measure import evaluate_classifier

COUNT, EPS, CLASSES = 32, 2 / 255, 10
# Sides of images, and how many steps of training are a moment there.
STEPS = {32: 60, 96: 20, 224: 6}
BACKBONES = {
    "MobileNetV2": lambda **given: applications.MobileNetV2(
        alpha=0.35, **given
    ),
    "EfficientNetV2B0": lambda **given: applications.EfficientNetV2B0(
        include_preprocessing=True, **given
    ),
    "ResNet50V2": applications.ResNet50V2,
}


def network(backbone, side):
    shape = (side, side, 3)
    base = backbone(include_top=False, weights=None, input_shape=shape)
    # What this one does to pixels is its own layer's.
    scale = 255.0 if "efficientnet" in base.name else 2.0
    inputs = keras.Input(shape)
    x = base(layers.Rescaling(scale, 0.0 if scale > 2 else -1.0)(inputs))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def independent(model, images, labels):
    """Counts what is correct while clean, and under FGSM."""
    logits = keras.Model(model.inputs, model.layers[-2].output)
    kernel, bias = model.layers[-1].get_weights()
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        answers = logits(images, training=False) @ kernel + bias
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, answers)
    step = EPS * tf.sign(tape.gradient(loss, images))
    attacked = tf.clip_by_value(images + step, 0, 1)
    clean = np.argmax(answers, axis=-1) == labels
    after = np.argmax(model(attacked, training=False), axis=-1) == labels
    return int(clean.sum()), int((clean & after).sum())


@pytest.mark.slow
@pytest.mark.parametrize("side", STEPS)
@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_equal_an_independent_computation(name, side, tmp_path):
    keras.utils.set_random_seed(0)
    model = network(BACKBONES[name], side)
    _, training, _ = load_training("digits", image_size=side)
    batches = STEPS[side]
    order = np.random.default_rng(0).permutation(len(training.labels))
    chosen = order[: 16 * batches]
    model.compile(
        keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy"
    )
    for start in range(0, len(chosen), 16):
        rows = chosen[start : start + 16]
        model.train_on_batch(
            training.images[rows] / np.float32(255), training.labels[rows]
        )
    # So few steps leave moving averages at their beginning.
    _take_statistics(model, training.images[chosen[:64]] / np.float32(255))
    model.save(tmp_path / "m.keras")
    _, test = load_test("digits", image_size=side)
    images = test.images[:COUNT] / np.float32(255)
    labels = test.labels[:COUNT]
    result = evaluate_classifier(
        load_classifier(model=tmp_path / "m.keras"),
        images,
        labels,
        attacks=["fgsm"],
        eps=[EPS],
    )
    clean, attacked = independent(model, images, labels)
    assert len(np.unique(model.predict(images, verbose=0).argmax(-1))) > 1
    assert round(result.accuracy("clean") * COUNT) == clean
    # Kernels round, which turns signs of gradients next to zero.
    assert abs(round(result.accuracy("fgsm", EPS) * COUNT) - attacked) <= 1


def _take_statistics(model, images):
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
