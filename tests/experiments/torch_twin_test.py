"""The port of the classifier that attacks of PyTorch's libraries run on."""

from pathlib import Path

import keras
import numpy as np
import pytest
from toys import small_vgg

from tfgan_robust.attacks.plan import parse_attack

pytest.importorskip("torch")
pytest.importorskip("torchattacks")

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def twin(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import torch_twin

    return torch_twin


@pytest.fixture
def model():
    """A classifier whose averages, gains and offsets are not the first."""
    model = small_vgg((16, 32, 3), classifier_width=0.1)
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


def test_the_twin_answers_as_the_original(twin, model, images):
    ported = twin.torch_twin(model)
    assert twin.largest_difference(model, ported, images) < 1e-4


def test_images_come_back_as_they_went(twin, images):
    np.testing.assert_array_equal(twin.to_numpy(twin.to_torch(images)), images)


def test_a_layer_without_a_port_is_refused(twin):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.AveragePooling2D(2, name="mean")]
    )
    with pytest.raises(ValueError, match="no port of the layer mean"):
        twin.torch_twin(model)


@pytest.mark.parametrize("name", ["pgd-2", "apgd-ce-3", "square-3"])
def test_attacks_stay_in_the_ball(twin, model, images, name):
    builders = twin.attacks_on_twin(
        model, images, lambda attack: attack, eps=0.1, seed=0
    )
    plan = parse_attack(name)
    build = builders[name.rpartition("-")[0]]
    labels = model.predict(images, verbose=0).argmax(axis=-1)
    attacked = build(*plan.stages)(images, labels)
    assert attacked.shape == images.shape
    assert np.abs(attacked - images).max() <= 0.1 + 1e-6
