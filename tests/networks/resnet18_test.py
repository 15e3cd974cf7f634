"""Pre-activation ResNet-18 against arXiv:1603.05027."""

import keras
import numpy as np
import pytest

from tfgan_robust.networks.resnet18 import build_resnet18


def resnet(image_shape=(16, 16, 3), width=1 / 32, num_classes=10):
    return build_resnet18(
        image_shape,
        num_classes,
        classifier_width=width,
        batchnorm_momentum=0.75,
    )


@pytest.fixture(scope="module")
def model():
    return resnet()


def test_it_has_the_known_size():
    # Convolutions, then two variables of normalisation for each channel.
    stem = 9 * 3 * 64
    convolutions = stem + 4 * 9 * 64 * 64
    normalised = 4 * 64
    for before, filters in ((64, 128), (128, 256), (256, 512)):
        convolutions += 9 * before * filters + 3 * 9 * filters * filters
        convolutions += before * filters  # the 1 x 1 shortcut
        normalised += before + 3 * filters
    normalised += 512  # after the last unit
    expected = convolutions + 2 * normalised + (512 + 1) * 10
    found = resnet((32, 32, 3), width=1).trainable_variables
    assert sum(np.prod(v.shape) for v in found) == expected == 11_172_170


def test_sides_halve_three_times_and_filters_double(model):
    ends = [model.get_layer(f"stage{n}_unit2_add").output for n in range(1, 5)]
    expected = [(16, 16, 2), (8, 8, 4), (4, 4, 8), (2, 2, 16)]
    assert [end.shape[1:] for end in ends] == expected
    assert model.get_layer("stem").kernel_size == (3, 3)
    assert model.get_layer("pool").output.shape == (None, 16)


def test_every_convolution_of_a_unit_follows_normalisation_and_relu(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.name != "stem":
            before = layer.input._keras_history.operation
            assert isinstance(before, keras.layers.ReLU)
            before = before.input._keras_history.operation
            assert isinstance(before, keras.layers.BatchNormalization)
            assert before.momentum == 0.75
    shortcuts = [x.name for x in model.layers if "shortcut" in x.name]
    assert shortcuts == [f"stage{n}_unit1_shortcut" for n in (2, 3, 4)]


def test_units_without_residual_weights_are_the_identity():
    model = resnet()
    for layer in model.layers:
        if layer.name.endswith("conv2"):
            layer.set_weights([np.zeros(layer.kernel.shape)])
    watched = keras.Model(
        model.input,
        [model.get_layer(n).output for n in ("stem", "stage1_unit2_add")],
    )
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    stem, end = watched(images)
    assert np.ptp(stem) > 0
    np.testing.assert_array_equal(stem, end)
