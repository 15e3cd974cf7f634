"""The paper's classifier against its Table 1."""

import keras
import pytest
from toys import small_vgg


def layers(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def test_it_has_the_papers_size():
    model = small_vgg((32, 32, 3), classifier_width=1)
    filters = [3, 64, 64, 128, 128, 256, 256, 256, 256, 256, 256]
    expected = sum(
        9 * channels * out + 4 * out
        for channels, out in zip(filters, filters[1:], strict=False)
    )
    expected += (1024 + 1) * 10
    assert model.count_params() == expected == 3_521_738
    assert model.get_layer("flatten").output.shape == (None, 1024)


def test_layers_come_in_the_papers_order():
    block = ["Conv2D", "BatchNormalization", "ReLU", "Dropout"]
    pool = ["MaxPooling2D"]
    assert [type(layer).__name__ for layer in small_vgg().layers] == [
        "InputLayer",
        *(2 * block + pool),
        *(2 * block + pool),
        *(3 * block + pool),
        *(3 * block + pool),
        "Flatten",
        "Dense",
    ]


@pytest.mark.parametrize(
    ("scale", "rates"),
    [
        (1, [0.3, 0.3] + 8 * [0.4]),
        (0.5, [0.15, 0.15] + 8 * [0.2]),
        (2, [0.6, 0.6] + 8 * [0.8]),
        (0, []),
    ],
)
def test_dropout_is_the_papers_and_scales(scale, rates):
    model = small_vgg(dropout_scale=scale)
    assert [d.rate for d in layers(model, keras.layers.Dropout)] == rates


def test_width_scales_filters_and_never_to_nothing():
    convolutions = layers(small_vgg(classifier_width=1e-6), keras.layers.Conv2D)
    assert {layer.filters for layer in convolutions} == {1}


def test_momentum_reaches_every_normalisation():
    model = small_vgg(batchnorm_momentum=0.75)
    found = layers(model, keras.layers.BatchNormalization)
    assert [layer.momentum for layer in found] == 10 * [0.75]
