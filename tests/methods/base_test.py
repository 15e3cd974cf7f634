"""The loss of equation 5, and a method from outside the package."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.cli.fields import setting
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.base import Method, Perturbed
from tfgan_robust.methods.generator_settings import GeneratorSettings
from tfgan_robust.methods.natural import Natural
from tfgan_robust.methods.registry import METHODS, TrainingMethod, settings_of
from tfgan_robust.methods.settings import (
    Equation5Settings,
    NaturalSettings,
    PerturbingSettings,
)
from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.training.model import AdversarialClassifier


def batch():
    images = np.random.default_rng(1).random((8, 4, 4, 3), np.float32)
    return tf.constant(images), tf.constant(np.arange(8) % 2)


def classifier():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((4, 4, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dense(2),
        ]
    )


def no_logits(images):
    raise AssertionError("nobody is attacked")


def test_the_loss_is_equation_5():
    settings = Equation5Settings(clean_weight=0.5, adversarial_weight=2.0)
    labels = np.array([0, 2])
    logits = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    clean, *perturbed = (
        -np.log(np.exp(each) / np.exp(each).sum(-1, keepdims=True))[
            [0, 1], labels
        ]
        for each in logits
    )
    found = Method(settings, 0.1, no_logits).loss(
        tf.constant(labels), tf.constant(logits[0]), [*tf.constant(logits[1:])]
    )
    np.testing.assert_allclose(
        found, 0.5 * clean + 2.0 * np.mean(perturbed, axis=0), rtol=1e-5
    )


def softmax_loss(logits, labels):
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return -np.log(shares[np.arange(len(labels)), labels])


def test_a_share_of_the_batch_seen_clean_weighs_as_all_of_it():
    settings = Equation5Settings(clean_weight=0.5, clean_share=0.5)
    method = Method(settings, 0.1, no_logits)
    images, labels = batch()
    seen = {}

    def classifier(shown, training):
        seen["count"] = len(shown)
        return tf.reshape(shown, [len(shown), -1])[:, :2]

    logits = method.logits(classifier, images, {"attack": 1 - images})
    assert seen["count"] == 4 + 8
    assert {name: len(each) for name, each in logits.items()} == {
        "clean": 4, "attack": 8,
    }  # fmt: skip
    found = method.loss(labels, logits["clean"], [logits["attack"]])
    clean = softmax_loss(logits["clean"].numpy(), labels.numpy()[:4])
    other = softmax_loss(logits["attack"].numpy(), labels.numpy())
    expected = 0.5 * clean.mean() + other.mean()
    assert float(tf.reduce_mean(found)) == pytest.approx(expected, rel=1e-5)


def test_smoothed_labels_against_numpy():
    method = Method(Equation5Settings(clean_weight=0), 0.1, no_logits)
    method.label_smoothing = 0.3
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    labels = np.array([0, 2, 1, 1])
    targets = 0.7 * np.eye(3)[labels] + 0.3 / 3
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -(targets * np.log(shares)).sum(-1)
    found = method.loss(tf.constant(labels), None, [tf.constant(logits)])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_logits_are_paired_with_the_clean_ones():
    settings = Equation5Settings(pairing_weight=2.0)
    method = Method(settings, 0.1, no_logits)
    clean, *others = np.random.default_rng(0).normal(size=(3, 4, 5))
    found = method.extra_loss(Perturbed([]), clean, others)
    expected = sum(np.square(each - clean).mean(-1) for each in others)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert Method(Equation5Settings(), 0.1, no_logits).extra_loss(
        Perturbed([]), clean, others
    ) is None  # fmt: skip


def test_natural_training_perturbs_nothing():
    natural = Natural(NaturalSettings(), 0.1, no_logits)
    assert natural.perturb(*batch(), tf.constant([0, 0])) == []


def test_the_settings_of_a_method_are_picked_out_of_those_of_a_run():
    run = {"epochs": 3, "update": "alternating", "num_generators": 3}
    found = settings_of("gan", run)
    assert found == GeneratorSettings(update="alternating", num_generators=3)
    with pytest.raises(UsageError, match="Unknown method"):
        settings_of("gun", run)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KLSettings(PerturbingSettings):
    beta: float = setting(6.0, "Of the divergence.", group="Objective", above=0)


def divergence(clean, other):
    clean, other = (tf.nn.log_softmax(logits) for logits in (clean, other))
    return tf.reduce_sum(tf.exp(clean) * (clean - other), axis=-1)


class KL(Method):
    """TRADES (arXiv:1901.08573) with one step up the divergence."""

    def perturb(self, images, labels, seed):
        clean = self.logits_fn(images)
        noisy = images + 1e-3 * tf.random.stateless_normal(images.shape, seed)
        with tf.GradientTape() as tape:
            tape.watch(noisy)
            distance = divergence(clean, self.logits_fn(noisy))
        sign = tf.sign(tape.gradient(distance, noisy))
        return [tf.clip_by_value(images + self.eps * sign, 0, 1)]

    def loss(self, labels, clean, perturbed):
        (other,) = perturbed
        return cross_entropy(labels, clean) + self.settings.beta * divergence(
            clean, other
        )


@pytest.fixture(scope="module")
def kl():
    METHODS.add("kl", TrainingMethod(KL, "TRADES", KLSettings))
    yield KLSettings(beta=2.0)
    del METHODS._rows["kl"]


def test_a_method_from_outside_trains_and_is_saved(kl, tmp_path):
    model = AdversarialClassifier(
        classifier(), method="kl", settings=kl, eps=0.1
    )
    model.compile(keras.optimizers.Adam(1e-2))
    images, labels = batch()
    (perturbed,) = model.method.perturb(images, labels, tf.constant([0, 1]))
    clean, other = model(images), model(perturbed)
    expected = tf.reduce_mean(
        cross_entropy(labels, clean) + 2.0 * divergence(clean, other)
    )
    assert float(tf.reduce_mean(divergence(clean, other))) > 0
    logs = model.train_step((images, labels))
    assert float(logs["loss"]) == pytest.approx(float(expected), rel=1e-2)
    first = float(logs["loss"])
    step = tf.function(model.train_step, autograph=False)
    for _ in range(30):
        model.reset_metrics()
        logs = step((images, labels))
    assert float(logs["loss"]) < first
    assert float(logs["attack_loss"]) > float(logs["clean_loss"])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.method, KL) and loaded.method.settings == kl
    assert loaded.method.eps == 0.1
    np.testing.assert_array_equal(loaded(images), model(images))
