"""Figures of held-out images against the same figures measured directly."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.data.splits import Split
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.build import build_model
from tfgan_robust.training.validation import Validator

SHAPE = (16, 16, 3)
EPS = 0.05
ACCURACIES = {
    "val_clean_accuracy",
    "val_fgsm_accuracy",
    "val_pgd_accuracy",
    "train_mode_accuracy",
    "inference_mode_accuracy",
}


def images_and_labels(count, seed):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    return Split(images, np.arange(count, dtype=np.int64) % 4)


TRAINING, VALIDATION = images_and_labels(24, 1), images_and_labels(20, 2)


def build(**settings):
    config = resolve(
        {
            "method": "gan",
            "image_size": 16,
            "classifier_width": 0.05,
            "batch_size": 8,
            "eval_images": 16,
            "eval_eps": EPS,
            "precision": "float32",
            "averaging": 0.0,
        },
        settings,
    )
    model = build_model(config, SHAPE, 4)
    teach(model)
    return model, Validator(model, config, TRAINING, VALIDATION)


def teach(model):
    """Lets the classifier learn both splits by heart, without noise.

    Only then do attacks and modes decide anything.
    """
    classifier = model.classifier
    head = keras.Model(
        classifier.inputs, classifier.get_layer("flatten").output
    )
    everything = np.concatenate([TRAINING.images, VALIDATION.images])
    labels = np.concatenate([TRAINING.labels, VALIDATION.labels])
    features = head.predict(everything / np.float32(255), verbose=0)
    centred = features - features.mean(axis=0)
    # Ridge regression; the scale keeps cross-entropies from saturating.
    kernel = np.linalg.solve(
        centred.T @ centred + 1e-6 * np.eye(features.shape[1]),
        centred.T @ np.eye(4)[labels],
    )
    classifier.get_layer("logits").set_weights(
        [kernel, -features.mean(axis=0) @ kernel]
    )


def as_tensors(split, count=None):
    images = tf.constant(split.images[:count] / np.float32(255), tf.float32)
    return images, tf.constant(split.labels[:count])


def share_right(logits, labels):
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


@pytest.fixture(scope="module")
def natural():
    return build(method="natural", dropout_scale=0)


@pytest.mark.slow
def test_generators_meet_the_classifier_that_they_play_against():
    """Not its average, whose gradient nobody gave them."""
    model, validator = build(formulation="grad_x", averaging=0.9)
    figures = validator.measure()
    model.averaged.set_weights(
        [np.zeros_like(each) for each in model.averaged.get_weights()]
    )
    again = validator.measure()
    assert again["val_clean_accuracy"] != figures["val_clean_accuracy"]
    for name in ("fgsm_success", "generator_0_success"):
        assert again[name] == figures[name] > 0


def test_figures_are_those_of_a_direct_measurement(natural):
    model, validator = natural
    figures = validator.measure()
    assert figures.keys() == ACCURACIES

    def inference(images):
        return model.classifier(images, training=False)

    images, labels = as_tensors(VALIDATION)
    clean = share_right(inference(images), labels)
    assert figures["val_clean_accuracy"] == pytest.approx(clean)
    seen, seen_labels = as_tensors(TRAINING, 16)
    assert figures["inference_mode_accuracy"] == pytest.approx(
        share_right(inference(seen), seen_labels)
    )
    attacked, attacked_labels = images[:16], labels[:16]
    for name, numbers in (
        ("fgsm", {"num_steps": 1, "step_size": EPS}),
        ("pgd", {"num_steps": 10, "seed": (0, 10)}),
    ):
        correct = [
            share_right(
                inference(
                    pgd(inference, attacked[part], attacked_labels[part],
                        eps=EPS, **numbers)
                ),
                attacked_labels[part],
            )
            for part in (slice(8), slice(8, 16))
        ]  # fmt: skip
        # Eager and compiled convolutions round apart, and a sign may flip.
        assert figures[f"val_{name}_accuracy"] == pytest.approx(
            np.mean(correct), abs=1 / 16
        )
    assert figures["val_pgd_accuracy"] < figures["val_clean_accuracy"]


def test_training_mode_means_the_statistics_of_the_batch(natural):
    model, validator = natural
    images, labels = as_tensors(TRAINING)
    hits = []
    for part in (slice(8), slice(8, 16)):
        logits, _ = model.classifier.stateless_call(
            model.classifier.trainable_variables,
            model.classifier.non_trainable_variables,
            images[part],
            training=True,
        )
        hits.append(share_right(logits, labels[part]))
    figures = validator.measure()
    assert figures["train_mode_accuracy"] == pytest.approx(np.mean(hits))
    # The averages are those of an untrained network: far from the batch's.
    assert figures["train_mode_accuracy"] != figures["inference_mode_accuracy"]


def test_the_sample_is_the_first_validation_images(natural):
    _, validator = natural
    images, labels = validator.sample(5)
    assert images.dtype == tf.float32
    np.testing.assert_array_equal(labels, VALIDATION.labels[:5])
    np.testing.assert_allclose(images, VALIDATION.images[:5] / 255, rtol=1e-6)
    # No more than are attacked.
    assert len(validator.sample(100)[1]) == 16


def test_figures_follow_the_weights(natural):
    model, validator = natural
    before = validator.measure()
    logits = model.classifier.get_layer("logits")
    weights = kernel, bias = logits.get_weights()
    logits.set_weights([0 * kernel, 0 * bias + [0, 0, 1, 0]])
    # Always class 2, which every fourth image is of; no attack changes that.
    assert validator.measure() == dict.fromkeys(ACCURACIES, 0.25)
    logits.set_weights(weights)
    assert validator.measure() == before


def test_the_average_is_what_is_measured():
    model, validator = build(method="natural", averaging=0.9)
    before = validator.measure()
    logits = model.classifier.get_layer("logits")
    logits.set_weights([0 * each for each in logits.get_weights()])
    assert validator.measure() == before
    logits = model.averaged.get_layer("logits")
    logits.set_weights([0 * each for each in logits.get_weights()])
    assert validator.measure() == dict.fromkeys(ACCURACIES, 0.25)


def test_every_image_counts_where_batches_do_not_fit():
    # Batches are cut to 18 images, of which 20 fill one and a bit.
    model, validator = build(method="natural", batch_size=64, eval_images=18)
    figures = validator.measure()
    images, labels = as_tensors(VALIDATION)
    logits = model.classifier(images, training=False)
    right = share_right(logits, labels)
    assert 0 < right < 1
    assert figures["val_clean_accuracy"] == pytest.approx(right)
    assert (18 * figures["val_pgd_accuracy"]) % 1 == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_measuring_generators_reports_their_health_and_changes_nothing():
    model, validator = build(
        formulation="xz", generator_width=0.1, zero_output=False
    )
    before = [variable.numpy().tobytes() for variable in model.variables]
    figures = validator.measure()
    after = [variable.numpy().tobytes() for variable in model.variables]
    assert before == after
    of_each = ("success", "saturation", "z_sensitivity")
    names = {f"generator_{i}_{name}" for i in (0, 1) for name in of_each}
    names |= {"fgsm_success", "generator_difference"}
    assert figures.keys() == ACCURACIES | names
    assert all(np.isfinite(value) for value in figures.values())
    assert figures["generator_difference"] > 0
    assert validator.measure() == figures


@pytest.mark.parametrize(
    ("choice", "expected"), [("auto", False), ("true", True)]
)
def test_the_choice_of_xla_is_known(choice, expected):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("auto means XLA on a GPU")
    _, validator = build(method="natural", jit_compile=choice)
    assert validator.jit_compile is expected
