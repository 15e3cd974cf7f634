"""The port of the classifier that attacks of PyTorch's libraries run on."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import small_vgg

from tfgan_robust.attacks.plan import parse_attack
from tfgan_robust.networks.losses import cross_entropy

pytest.importorskip("torch")

from experiments.peers import torch_training as training  # noqa: E402
from experiments.peers import torch_twin as twin  # noqa: E402


@pytest.fixture
def model():
    """A classifier whose averages, gains and offsets are not the first."""
    model = small_vgg((16, 32, 3), classifier_width=0.1, dropout_scale=0)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
            )
    return model


@pytest.fixture
def images():
    return np.random.default_rng(1).random((4, 16, 32, 3), np.float32)


def test_the_twin_answers_as_the_original(model, images):
    ported = twin.torch_twin(model)
    assert twin.largest_difference(model, ported, images) < 1e-4


def test_images_come_back_as_they_went(images):
    np.testing.assert_array_equal(twin.to_numpy(twin.to_torch(images)), images)


def test_a_layer_without_a_port_is_refused():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.AveragePooling2D(2, name="mean")]
    )
    with pytest.raises(ValueError, match="no port of the layer mean"):
        twin.torch_twin(model)


@pytest.mark.parametrize("name", ["pgd-2", "apgd-ce-3", "square-3"])
def test_attacks_stay_in_the_ball(model, images, name):
    pytest.importorskip("torchattacks")
    from experiments.peers import torch_attacks

    builders = torch_attacks.attacks_on_twin(
        model, images, lambda attack: attack, eps=0.1, seed=0
    )
    plan = parse_attack(name)
    build = builders[name.rpartition("-")[0]]
    labels = model.predict(images, verbose=0).argmax(axis=-1)
    attacked = build(*plan.stages)(images, labels)
    assert attacked.shape == images.shape
    assert np.abs(attacked - images).max() <= 0.1 + 1e-6


@pytest.fixture
def networks(monkeypatch):
    """Lists the networks that are trained."""
    found = []

    def kept(*args, **kwargs):
        found.append(twin.torch_twin(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(training, "torch_twin", kept)
    return found


def test_a_step_is_that_of_keras(networks, model, images):
    """Momentum's first step with Nesterov's is 1.9 rates of the gradient."""
    labels = np.arange(4)
    training.torch_step(
        model, images, labels, num_steps=0, eps=0.1, step_size=0.1,
        bfloat16=False,
    )  # fmt: skip
    kernel = model.layers[-1].kernel
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.reduce_mean(cross_entropy(tf.constant(labels), logits))
    gradient = tape.gradient(loss, kernel.value).numpy()
    gradient = gradient + 5e-4 * kernel.numpy()
    expected = kernel.numpy() - 0.1 * 1.9 * gradient
    found = networks[0][-1].weight.detach().numpy().T
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("num_steps", [0, 2])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_steps_move_all_weights(networks, model, images, num_steps, bfloat16):
    run = training.torch_step(
        model, images, np.arange(4), num_steps=num_steps, eps=0.1,
        step_size=0.1, bfloat16=bfloat16,
    )  # fmt: skip
    before = [part.detach().clone() for part in networks[0].parameters()]
    run()
    after = list(networks[0].parameters())
    assert all(
        (one != two).any() for one, two in zip(before, after, strict=True)
    )
    assert networks[0].training
