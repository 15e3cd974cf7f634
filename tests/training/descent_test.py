"""The classifier descends its method's loss, written out here, and no other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.build import build_model
from tfgan_robust.training.weights import is_kernel

SHAPE = (16, 16, 3)
SEED = tf.constant([3, 4])
TINY = {
    "image_size": 16, "classifier_width": 0.05, "batch_size": 8,
    "precision": "float32", "warmup": 0, "averaging": 0,
}  # fmt: skip


def batch(size=8):
    images = np.random.default_rng(0).random((size, *SHAPE), np.float32)
    return tf.constant(images), tf.constant(np.arange(size) % 10)


def build(**given):
    return build_model(resolve(TINY, given), SHAPE, 10, total_steps=100)


def cross_entropy(labels, logits, smoothing=0.0):
    targets = tf.one_hot(labels, 10) * (1 - smoothing) + smoothing / 10
    return -tf.reduce_sum(targets * tf.nn.log_softmax(logits), -1)


def kullback_leibler(one, other):
    logs = [tf.nn.log_softmax(logits) for logits in (one, other)]
    return tf.reduce_sum(tf.exp(logs[0]) * (logs[0] - logs[1]), -1)


def trades(labels, clean, perturbed):
    return cross_entropy(labels, clean) + 6 * kullback_leibler(clean, perturbed)


def paired(labels, clean, perturbed):
    losses = [cross_entropy(labels, each) for each in (clean, perturbed)]
    distance = tf.reduce_mean(tf.square(perturbed - clean), -1)
    return 0.5 * losses[0] + losses[1] + 2 * distance


def both_terms(labels, clean, perturbed):
    losses = [cross_entropy(labels, each) for each in (clean, perturbed)]
    return 0.5 * losses[0] + 2 * losses[1]


def smoothed(labels, perturbed):
    return cross_entropy(labels, perturbed, 0.2)


@pytest.mark.parametrize(
    ("given", "loss"),
    [
        ({"method": "trades"}, trades),
        (
            {"method": "fgsm", "clean_weight": 0.5, "pairing_weight": 2},
            paired,
        ),
        # By the step's gradient the generators alone learn.
        ({"method": "start", "formulation": "x"}, cross_entropy),
        ({"method": "nfgsm", "label_smoothing": 0.2}, smoothed),
        (
            {"method": "gan", "clean_weight": 0.5, "adversarial_weight": 2},
            both_terms,
        ),
    ],
    ids=["trades", "fgsm", "start", "nfgsm", "gan"],
)
def test_the_classifier_descends_the_loss_of_its_method(
    given, loss, monkeypatch
):
    decay = 0.1
    model = build(**given, dropout_scale=0, weight_decay=decay)
    model.compile(
        keras.optimizers.SGD(1.0),
        [keras.optimizers.SGD(0.0) for _ in model.generators],
    )
    monkeypatch.setattr(model, "_next_seed", lambda: SEED)
    images, labels = batch()
    method = model.method
    state = [
        (variable, variable.numpy())
        for network in (model.classifier, *model.generators)
        for variable in network.variables
    ]
    found = method.complete(method.prepare(images, labels, SEED)).batches
    clean = [images] if method.clean_weight > 0 else []
    seen = tf.constant(np.concatenate([*clean, *found]))
    variables = model.classifier.trainable_variables
    with tf.GradientTape() as tape:
        logits = model.classifier(seen, training=True)
        parts = tf.split(logits, len(clean) + len(found))
        value = tf.reduce_mean(loss(labels, *parts))
    gradients = tape.gradient(value, [v.value for v in variables])
    # Statistics of batch normalisation have moved, which attacks look at.
    for variable, value in state:
        variable.assign(value)
    before = [v.numpy() for v in variables]
    model.train_step((images, labels))
    for variable, old, gradient in zip(
        variables, before, gradients, strict=True
    ):
        expected = gradient + decay * old * is_kernel(variable)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            old - variable.numpy(), expected, atol=1e-3 * scale,
            err_msg=variable.path,
        )  # fmt: skip


def test_in_turn_the_classifier_meets_generators_that_have_moved(monkeypatch):
    model = build(
        preset="paper", formulation="x", generator_width=0.1, num_generators=1
    )
    model.compile(keras.optimizers.SGD(0.0), [keras.optimizers.SGD(300.0)])
    monkeypatch.setattr(model, "_next_seed", lambda: SEED)
    images, labels = batch()

    def length():
        method = model.method
        prepared = method.prepare(images, labels, SEED)
        (moved,) = method.complete(prepared).batches
        change = tf.square(moved - images)
        return float(tf.reduce_mean(tf.sqrt(tf.reduce_sum(change, [1, 2, 3]))))

    before = length()
    logs = model.train_step((images, labels))
    found = float(logs["generator_0_perturbation_l2"])
    assert found == pytest.approx(length(), rel=1e-4)
    assert abs(found - before) > 1e-3 * before


def test_examples_without_weight_teach_nothing():
    images, labels = batch()
    weights = tf.constant([1.0] * 4 + [0.0] * 4)
    changes = []
    for count, given in ((8, (weights,)), (4, ())):
        model = build(method="natural", dropout_scale=0, weight_decay=0)
        # Without batch normalisation examples do not see each other.
        head = model.classifier.layers[-1]
        for layer in model.classifier.layers[:-1]:
            layer.trainable = False
        model.compile(keras.optimizers.SGD(1.0))
        before = head.kernel.numpy()
        model.train_step((images[:count], labels[:count], *given))
        changes.append(head.kernel.numpy() - before)
    np.testing.assert_allclose(changes[0], changes[1] / 2, atol=1e-6)


def test_generators_learn_nothing_from_examples_without_weight():
    model = build(preset="paper", generator_width=0.1)
    images, labels = batch()
    logs = model.train_step((images, labels, tf.zeros([8])))
    for number in range(2):
        assert float(logs[f"generator_{number}_gradient_norm"]) == 0
