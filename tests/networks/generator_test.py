"""The paper's generator against its Table 1."""

import keras
import numpy as np
import pytest
from toys import small_generator


def convolution(size, channels, filters):
    """Weights of a convolution without bias and its batch normalisation."""
    return size * size * channels * filters + 4 * filters


@pytest.mark.parametrize("width", [1, 2])
def test_it_has_the_papers_size(width):
    model = small_generator((32, 32, 3), 6, width=width)
    first, second, deepest = 32 * width, 64 * width, 128 * width
    assert model.count_params() == (
        convolution(7, 6, first)
        + convolution(5, first, second)
        + convolution(5, second, deepest)
        + 8 * convolution(3, deepest, deepest)
        + convolution(5, deepest, second)
        + convolution(5, second, first)
        + 7 * 7 * first * 3
        + 3
    )
    blocks = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
        and layer.name.startswith("residual")
    ]
    assert len(blocks) == 8
    assert {layer.filters for layer in blocks} == {deepest}
    assert {layer.kernel_size for layer in blocks} == {(3, 3)}


@pytest.mark.parametrize("skip", [0.0, 3.0])
def test_output_is_bounded(skip):
    model = small_generator(gradient_skip=skip)
    inputs = 100 * np.random.default_rng(0).standard_normal((2, 16, 16, 6))
    outputs = model(inputs.astype(np.float32)).numpy()
    assert np.abs(outputs).max() <= 1
    assert outputs.std() > 0


@pytest.mark.parametrize("gain", [0.0, 0.7])
def test_gradient_skip_leads_the_sign_to_the_output(gain):
    model = small_generator(gradient_skip=gain)
    assert model.count_params() == small_generator().count_params()
    for variable in model.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    generator = np.random.default_rng(0)
    sign = generator.integers(-1, 2, (2, 16, 16, 3)).astype(np.float32)
    images = generator.random((2, 16, 16, 3), np.float32)
    outputs = model(np.concatenate([sign, images], axis=-1)).numpy()
    np.testing.assert_allclose(outputs, np.tanh(gain * sign), atol=1e-6)
