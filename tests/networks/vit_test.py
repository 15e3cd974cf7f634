"""The vision transformer against arXiv:2010.11929 and arXiv:2106.14881."""

import keras
import numpy as np
import pytest

from tfgan_robust.networks.vit import build_vit


def vit(image_shape=(16, 16, 3), width=1 / 32, num_classes=10):
    return build_vit(
        image_shape,
        num_classes,
        classifier_width=width,
        batchnorm_momentum=0.75,
    )


@pytest.fixture(scope="module")
def model():
    return vit()


def test_it_is_as_large_as_the_papers_vgg():
    stem = 9 * (3 * 64 + 64 * 128) + 2 * (64 + 128)
    positions = 128 * 256 + 64 * 256
    attention = 4 * (256 + 1) * 256
    perceptron = (256 + 1) * 512 + (512 + 1) * 256
    norms = 2 * 2 * 256
    layers = 6 * (attention + perceptron + norms)
    expected = stem + positions + layers + 2 * 256 + (256 + 1) * 10
    found = vit((32, 32, 3), width=1).trainable_variables
    assert sum(np.prod(v.shape) for v in found) == expected
    assert 0.8 < expected / 3_521_738 < 1.25


def test_every_four_by_four_pixels_are_a_token(model):
    assert model.get_layer("tokens").output.shape == (None, 16, 4)
    assert model.get_layer("positions").bias.shape == (16, 8)
    assert vit((20, 12, 1)).get_layer("tokens").output.shape[1] == 15
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert [layer.momentum for layer in norms] == [0.75, 0.75]


def test_positions_alone_tell_equal_tokens_apart(model):
    watched = keras.Model(model.input, model.get_layer("positions").output)
    # In an even image all tokens of the stem are the same, but for those at
    # the lower and right border, where padding is seen.
    tokens = np.reshape(watched(np.full((1, 16, 16, 3), 0.5)), (4, 4, 8))
    bias = np.reshape(model.get_layer("positions").bias, (4, 4, 8))
    inner = (tokens - bias)[:3, :3]
    np.testing.assert_allclose(
        inner, np.broadcast_to(inner[0, 0], (3, 3, 8)), atol=1e-6
    )
    assert np.ptp(tokens[:3, :3], axis=(0, 1)).min() > 1e-3


def test_layers_without_weights_are_the_identity():
    model = vit()
    for layer in model.layers:
        if layer.name.endswith(("_attention", "_contract")):
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    watched = keras.Model(
        model.input,
        [
            model.get_layer(name).output
            for name in ("positions", "layer6_perceptron_add")
        ],
    )
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    first, last = watched(images)
    assert np.ptp(first) > 0
    np.testing.assert_array_equal(first, last)


def test_its_file_needs_nothing_of_this_package(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    np.testing.assert_array_equal(loaded(images), model(images))
    modules = {layer["module"] for layer in loaded.get_config()["layers"]}
    assert not any("tfgan" in module for module in modules)
