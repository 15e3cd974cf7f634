"""Audits: each way to mask gradients is found, a sound network passes."""

import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust import data
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.audit import Check, audit, format_audit, overall
from tfgan_robust.audit.finite_differences import finite_differences
from tfgan_robust.audit.gradients import gradients, saturation
from tfgan_robust.audit.inference import batch_independence, deterministic
from tfgan_robust.audit.rivals import square, transfer, undefended
from tfgan_robust.audit.sampling import judge_rival, tail
from tfgan_robust.audit.strength import (
    more_steps,
    noise,
    one_step,
    whole_range,
)
from tfgan_robust.audit.subject import Subject
from tfgan_robust.classifiers import Classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.losses import cross_entropy

EPS = 0.15
NUM_IMAGES = 64


@pytest.fixture(scope="module")
def digits():
    _, test = data.load_test("digits")
    return test.images[:NUM_IMAGES], test.labels[:NUM_IMAGES]


def build_network():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, 2, padding="same", activation="relu"),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def train(steps, eps=0.0):
    """Trains on digits, attacked by PGD-3 if there is a radius."""
    model, adam = build_network(), keras.optimizers.Adam(3e-3)
    _, split, _ = data.load_training("digits")

    @tf.function(autograph=False)
    def step(images, labels, seed, radius):
        if eps > 0:
            images = pgd(
                model, images, labels, eps=radius, num_steps=3, seed=seed
            ).images
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cross_entropy(labels, model(images)))
        gradient = tape.gradient(loss, model.trainable_variables)
        adam.apply(gradient, model.trainable_variables)

    batches = data.training_batches(split, batch_size=64, seed=0, max_shift=0)
    for index, (images, labels) in enumerate(batches.take(steps)):
        radius = tf.constant(eps * min(1, 2 * index / steps), tf.float32)
        step(images, labels, tf.constant([0, index]), radius)
    return Classifier.from_keras(model)


@pytest.fixture(scope="module")
def natural():
    return train(150)


@pytest.fixture(scope="module")
def sound():
    return train(200, EPS)


@pytest.fixture(scope="module")
def subject(digits):
    def of(classifier, **settings):
        return Subject(classifier, *digits, EPS, {}, **settings)

    return of


def masked(natural, *, before=None, after=None):
    """A network behind something done to its images, or to its logits."""

    def logits_fn(images):
        logits = natural.logits_fn(before(images) if before else images)
        return after(logits) if after else logits

    return dataclasses.replace(natural, logits_fn=logits_fn)


def rounded(images, levels=8):
    return tf.round(images * levels) / levels


def straight_through(images, levels=8):
    """Rounding whose gradient is that of the identity."""
    return images + tf.stop_gradient(rounded(images, levels) - images)


def false_gradient(images):
    """Rounding whose gradient points somewhere else."""
    decoy = tf.reverse(images, axis=[1, 2])
    return rounded(images) + decoy - tf.stop_gradient(decoy)


def shattered(images):
    """A ripple too small to see, whose slope hides the network's."""
    return images + 0.005 * tf.sin(images * 4000)


def noisy(images):
    return images + tf.random.normal(tf.shape(images), stddev=0.1)


def test_a_soundly_trained_network_passes_everything(digits, sound, natural):
    told = []
    checks = audit(
        sound,
        *digits,
        eps=EPS,
        undefended=natural,
        progress=lambda *now: told.append(now),
    )
    print(format_audit(checks))
    assert overall(checks) == "PASS", format_audit(checks)
    assert [(c.check, i, 12) for i, c in enumerate(checks, 1)] == told
    figures = {c.check: c.figures for c in checks}
    assert 0.05 < figures["square"]["white_box"] < 0.8
    assert figures["undefended"]["pgd-100"] < 0.05
    json.dumps([dataclasses.asdict(c) for c in checks], allow_nan=False)


@pytest.mark.parametrize(
    ("before", "after", "check"),
    [
        (rounded, None, gradients),
        (None, lambda logits: logits * 1000, gradients),
        (None, lambda logits: logits * 1000, saturation),
        (None, lambda logits: logits * 1000, whole_range),
        (None, lambda logits: logits * 1000, square),
        (None, lambda logits: logits * np.nan, gradients),
        (None, lambda logits: logits * np.nan, deterministic),
        (noisy, None, deterministic),
        (straight_through, None, finite_differences),
        (lambda x: straight_through(x, 255), None, finite_differences),
        (false_gradient, None, finite_differences),
        (shattered, None, finite_differences),
        (false_gradient, None, square),
        (false_gradient, None, more_steps),
        (false_gradient, None, one_step),
        (false_gradient, None, noise),
        (false_gradient, None, whole_range),
    ],
)
def test_masked(subject, natural, before, after, check):
    classifier = masked(natural, before=before, after=after)
    found = check(subject(classifier))
    print(found)
    assert found.verdict == "FAIL", found
