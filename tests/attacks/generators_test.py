"""A trained generator as an attack: the formula of training, term by term."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import problem_of, run_attack

from tfgan_robust.attacks.generators import (
    GeneratorAttack,
    LearnedStep,
    Perturbation,
)

SHAPE = (16, 16, 3)
PIXELS = 768
EPS = np.float32(0.1)
COUNT = 6


def logits_fn(images):
    # The gradient's sign flips where a pixel crosses one half.
    weights = np.random.default_rng(2).normal(size=(PIXELS, 4))
    bent = tf.reshape(tf.square(images - 0.5), [-1, PIXELS])
    return tf.matmul(bent, tf.constant(weights, tf.float32))


def how(formulation, **settings):
    latent = 2 if formulation == "xz" else 1
    return Perturbation(
        formulation=formulation, latent_channels=latent, **settings
    )


def generator(channels):
    """To directions in [-1, 1]; averages that are not those of the batch."""
    keras.utils.set_random_seed(channels)
    model = keras.Sequential(
        [
            keras.Input((*SHAPE[:2], channels)),
            keras.layers.Conv2D(4, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv2D(3, 3, padding="same", activation="tanh"),
        ]
    )
    for _ in range(2):
        seen = tf.random.stateless_normal([8, 16, 16, channels], [1, 2])
        model(seen, training=True)
    return model


def problem(attack, seed=0):
    images = np.random.default_rng(1).random((COUNT, *SHAPE), np.float32)
    # Black and white pixels, where the pixel range binds.
    images[:, :4], images[:, -4:] = 0, 1
    labels = np.argmax(logits_fn(images), axis=1)
    return problem_of(attack, images, labels, EPS, seed=seed)


def clip(moved, clean):
    return np.clip(np.clip(moved, clean - EPS, clean + EPS), 0, 1)


def gradient_sign(images, labels):
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=labels, logits=logits_fn(images)
        )
    return np.sign(tape.gradient(loss, images))


@pytest.mark.parametrize("label", ["true", "predicted"])
def test_the_gradient_seen_is_of_the_chosen_label(label):
    images = np.random.default_rng(5).random((COUNT, *SHAPE), np.float32)
    predicted = np.argmax(logits_fn(images), axis=1)
    given = np.where(np.arange(COUNT) % 2, predicted, (predicted + 1) % 4)
    expected = given if label == "true" else predicted
    sign = how("grad", gradient_label=label).gradient_sign(
        logits_fn, tf.constant(images), tf.constant(given)
    )
    np.testing.assert_array_equal(sign, gradient_sign(images, expected))
    assert np.any(
        gradient_sign(images, given) != gradient_sign(images, predicted)
    )


@pytest.mark.parametrize("random_start", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("formulation", "channels"),
    [("x", 3), ("xz", 5), ("grad", 3), ("grad_x", 6)],
)
def test_is_one_step_along_the_directions_of_the_generator(
    formulation, channels, random_start
):
    """x + eps G(I), equation 5, from the start that training draws."""
    model = generator(channels)
    attack = GeneratorAttack(
        model,
        how(formulation, random_start=random_start, generator_step=1.25),
    )
    given = problem(attack)
    clean = given.images.numpy()
    start = clip(
        clean + EPS * np.float32(random_start) * given.noise[0].numpy(), clean
    )
    inputs = {
        "x": [start],
        "xz": [start, given.noise[1].numpy()],
        "grad": [gradient_sign(start, given.labels)],
        "grad_x": [gradient_sign(start, given.labels), start],
    }[formulation]
    directions = model(np.concatenate(inputs, axis=-1), training=False)
    expected = clip(start + np.float32(1.25) * EPS * directions, clean)
    result = run_attack(attack, logits_fn, given)
    np.testing.assert_allclose(result.images, expected, rtol=0, atol=1e-5)
    assert np.abs(result.images - clean).max() <= EPS + 1e-6
    wrong = np.argmax(logits_fn(result.images), axis=1) != given.labels
    np.testing.assert_array_equal(result.fooled, wrong)
    assert np.abs(expected - clean).max() > 0.05


@pytest.mark.parametrize("clip_to_ball", [True, False])
@pytest.mark.parametrize(("formulation", "channels"), [("x", 3), ("grad_x", 6)])
def test_a_learned_start_is_followed_by_a_step_of_the_gradient(
    formulation, channels, clip_to_ball
):
    model = generator(channels)
    settings = {"start_size": 1.5, "start_noise": 0.25, "gradient_step": 0.75}
    attack = GeneratorAttack(
        model,
        LearnedStep(
            formulation=formulation, clip_to_ball=clip_to_ball, **settings
        ),
    )
    given = problem(attack)
    clean = given.images.numpy()
    inputs = [clean]
    if formulation == "grad_x":
        inputs.insert(0, gradient_sign(clean, given.labels))
    directions = model(np.concatenate(inputs, axis=-1), training=False)
    start = clean + EPS * (1.5 * directions + 0.25 * given.noise[0])
    start = np.clip(start, 0, 1)
    sign = gradient_sign(start, given.labels)
    # An attack stays in the ball, whatever training did.
    expected = clip(start + np.float32(0.75) * EPS * sign, clean)
    result = run_attack(attack, logits_fn, given)
    off = np.abs(result.images - expected) > 1e-5
    # Where a pixel of the start is one half, rounding decides its sign.
    assert off.mean() < 1e-3
    gradients = 2 if formulation == "grad_x" else 1
    assert attack.passes == (1 + gradients, gradients)


def test_draws_noise_of_the_images_size():
    attack = GeneratorAttack(generator(5), how("xz"))
    start, latent = attack.draw(np.random.default_rng(0), SHAPE)
    assert start.shape == SHAPE and latent.shape == (16, 16, 2)
    assert np.abs(start).max() <= 1 and np.abs(start).max() > 0.99
    assert 0.9 < latent.std() < 1.1
    first, second, other = (
        run_attack(attack, logits_fn, problem(attack, seed)).images.numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_leaves_the_generator_as_it_was():
    model = generator(6)
    attack = GeneratorAttack(model, how("grad_x"))
    before = [variable.numpy().tobytes() for variable in model.variables]
    run_attack(attack, logits_fn, problem(attack))
    after = [variable.numpy().tobytes() for variable in model.variables]
    assert before == after


@pytest.mark.parametrize(
    ("formulation", "passes"),
    [("x", (1, 0)), ("xz", (1, 0)), ("grad", (2, 1)), ("grad_x", (2, 1))],
)
def test_counts_the_passes_of_the_classifier(formulation, passes):
    calls = []

    def counted(images):
        calls.append(1)
        return logits_fn(images)

    channels = {"x": 3, "xz": 5, "grad": 3, "grad_x": 6}[formulation]
    attack = GeneratorAttack(generator(channels), how(formulation))
    assert (attack.passes, attack.advances) == (passes, 1)
    run_attack(attack, counted, problem(attack))
    assert len(calls) == passes[0]


def test_is_hashable_so_that_it_is_compiled_once():
    model = generator(6)
    first, second = (GeneratorAttack(model, how("grad_x")) for _ in range(2))
    assert first == second and hash(first) == hash(second)
    assert first != GeneratorAttack(generator(6), how("grad_x"))
