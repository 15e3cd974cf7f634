"""Networks of keras.applications and KerasHub, trained on easy images."""

import brightness
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import applications, layers

from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.evaluation.measure import evaluate_classifier

COUNT, EPS, CLASSES = 32, 16 / 255, brightness.CLASSES
SIDES = (32, 96, 224)
# Steps of training, on batches of 16, after which is looked whether so many
# clean images are right, where chance is a quarter; and how often at most.
STEPS, ENOUGH, MOST_LOOKS = 5, 0.6, 24


def on_top(base, side, scale, offset=0.0):
    """A classifier on a backbone, which takes pixels of its own range."""
    inputs = keras.Input((side, side, 3))
    x = base(layers.Rescaling(scale, offset)(inputs))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(x))


def bare(side):
    return {
        "include_top": False, "weights": None, "input_shape": (side, side, 3)
    }  # fmt: skip


def mobilenet(side):
    base = applications.MobileNetV2(alpha=0.35, **bare(side))
    return on_top(base, side, 2.0, -1.0)


def efficientnet(side):
    # What is done to pixels is its own first layers'.
    base = applications.EfficientNetV2B0(
        include_preprocessing=True, **bare(side)
    )
    return on_top(base, side, 255.0)


def resnet(side):
    return on_top(applications.ResNet50V2(**bare(side)), side, 2.0, -1.0)


def hub_resnet(side):
    models = pytest.importorskip("keras_hub", reason="extra `dev`").models
    backbone = models.ResNetBackbone(
        [64], [7], [64, 64], [1, 1], [1, 2], "basic_block",
        use_pre_activation=True, image_shape=(side, side, 3),
    )  # fmt: skip
    return models.ResNetImageClassifier(backbone, CLASSES)


def hub_vit(side):
    models = pytest.importorskip("keras_hub", reason="extra `dev`").models
    backbone = models.ViTBackbone(
        (side, side, 3), patch_size=side // 8, num_layers=2, num_heads=4,
        hidden_dim=64, mlp_dim=128,
    )  # fmt: skip
    return models.ViTImageClassifier(backbone, CLASSES, activation="softmax")


NETWORKS = [mobilenet, efficientnet, resnet, hub_resnet, hub_vit]


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


def images_and_labels(side):
    """Images of `brightness` in this size, float32, in random order."""
    images, labels = brightness.images_and_labels(spread=0.5)
    order = np.random.default_rng(0).permutation(len(labels))
    repeats = side // images.shape[1]
    images = images[order].repeat(repeats, axis=1).repeat(repeats, axis=2)
    return images / np.float32(255), labels[order]


def train_until_right(model, images, labels, held_out):
    """Trains until enough of the images that are held out are right."""
    # KerasHub's end in logits if nothing is said, those of Keras in a softmax.
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=model.layers[-1].activation is keras.activations.linear
    )
    model.compile(keras.optimizers.Adam(1e-3), loss)
    for step in range(STEPS * MOST_LOOKS):
        rows = np.arange(16 * step, 16 * (step + 1)) % len(labels)
        model.train_on_batch(images[rows], labels[rows])
        if step % STEPS == STEPS - 1:
            _take_statistics(model, images[:64])
            if share_right(model, *held_out) >= ENOUGH:
                break
    print(f"{model.name}: {step + 1} steps")


def share_right(model, images, labels):
    answers = model.predict_on_batch(images)
    return np.mean(answers.argmax(axis=-1) == labels)


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_equal_an_independent_computation(network, side, tmp_path):
    keras.utils.set_random_seed(0)
    model = network(side)
    images, labels = images_and_labels(side)
    test = images[:COUNT], labels[:COUNT]
    train_until_right(model, images[COUNT:], labels[COUNT:], test)
    model.save(tmp_path / "m.keras")
    result = evaluate_classifier(
        load_classifier(model=tmp_path / "m.keras"),
        *test,
        attacks=["fgsm"],
        eps=[EPS],
    )
    clean, attacked = independent(model, *test)
    print(f"{clean} of {COUNT} right, {attacked} after FGSM")
    assert clean >= ENOUGH * COUNT and attacked < clean
    assert round(result.accuracy("clean") * COUNT) == clean
    # Kernels round, which turns signs of gradients next to zero.
    assert abs(round(result.accuracy("fgsm", EPS) * COUNT) - attacked) <= 1


def _take_statistics(model, images):
    """Gives moving averages what so few steps leave at their beginning."""
    normalising = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization)
    ]
    usual = [layer.momentum for layer in normalising]
    for layer in normalising:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(normalising, usual, strict=True):
        layer.momentum = momentum
