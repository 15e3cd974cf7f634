"""The networks against Table 1 of the paper."""

import keras
import numpy as np
import pytest

from tfgan_robust.errors import UsageError
from tfgan_robust.networks.vgg import build_classifier, build_generator

SHAPE = (32, 32, 3)
SHAPES = [(16, 16, 3), (20, 20, 3), (28, 28, 1), SHAPE, (16, 24, 3)]
NARROW = 1 / 16


def layers(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def convolution(size, channels, filters):
    """Weights of a convolution without bias and its batch normalisation."""
    return size * size * channels * filters + 4 * filters


def test_classifier_has_the_papers_size():
    model = build_classifier(SHAPE, 10)
    filters = [3, 64, 64, 128, 128, 256, 256, 256, 256, 256, 256]
    expected = sum(
        convolution(3, channels, out)
        for channels, out in zip(filters, filters[1:], strict=False)
    )
    expected += (1024 + 1) * 10
    assert model.count_params() == expected == 3_521_738
    assert model.get_layer("flatten").output.shape == (None, 1024)


def generator_size(channels, width):
    first, second, deepest = 32 * width, 64 * width, 128 * width
    return (
        convolution(7, channels, first)
        + convolution(5, first, second)
        + convolution(5, second, deepest)
        + 8 * convolution(3, deepest, deepest)
        + convolution(5, deepest, second)
        + convolution(5, second, first)
        + 7 * 7 * first * 3
        + 3
    )


@pytest.mark.parametrize(("width", "residual_filters"), [(1, 128), (2, 256)])
def test_generator_has_the_papers_size(width, residual_filters):
    model = build_generator(SHAPE, 6, width=width)
    assert model.count_params() == generator_size(6, width)
    blocks = [
        layer
        for layer in layers(model, keras.layers.Conv2D)
        if layer.name.startswith("residual")
    ]
    assert len(blocks) == 8
    assert {layer.filters for layer in blocks} == {residual_filters}
    assert {layer.kernel_size for layer in blocks} == {(3, 3)}


def test_layers_come_in_the_papers_order():
    model = build_classifier(SHAPE, 10, width=NARROW)
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "BatchNormalization", "ReLU", "Dropout"]
    pool = ["MaxPooling2D"]
    assert kinds == [
        "InputLayer",
        *(2 * block + pool),
        *(2 * block + pool),
        *(3 * block + pool),
        *(3 * block + pool),
        "Flatten",
        "Dense",
    ]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_networks_take_other_sizes(shape):
    images = np.random.default_rng(0).random((2, *shape), np.float32)
    classifier = build_classifier(shape, 7, width=NARROW)
    assert classifier(images).shape == (2, 7)
    generator = build_generator(shape, shape[-1], width=NARROW)
    assert generator(images).shape == images.shape


@pytest.mark.parametrize(
    "shape", [(12, 12, 3), (33, 33, 3), (30, 32, 3), (32, 18, 3), (8, 64, 3)]
)
@pytest.mark.parametrize(
    "build", [build_classifier, build_generator], ids=["classifier", "gan"]
)
def test_sizes_that_do_not_fit_are_refused(build, shape):
    with pytest.raises(UsageError, match="multiples of 4") as error:
        build(shape, 3)
    assert f"Received: {shape[0]} x {shape[1]}" in str(error.value)


def test_one_class_is_refused():
    with pytest.raises(UsageError, match="at least 2 classes. Received: 1."):
        build_classifier(SHAPE, 1)


def test_dropout_is_the_papers_and_scales():
    def rates(scale):
        model = build_classifier(SHAPE, 10, width=NARROW, dropout_scale=scale)
        return [d.rate for d in layers(model, keras.layers.Dropout)]

    assert rates(1) == [0.3, 0.3] + 8 * [0.4]
    assert rates(0.5) == [0.15, 0.15] + 8 * [0.2]
    assert rates(0) == []


def test_momentum_reaches_every_normalisation():
    model = build_classifier(SHAPE, 10, width=NARROW, batchnorm_momentum=0.75)
    found = layers(model, keras.layers.BatchNormalization)
    assert [layer.momentum for layer in found] == 10 * [0.75]


def test_all_normalisation_spans_devices():
    models = [
        build_classifier(SHAPE, 10, width=NARROW),
        build_generator(SHAPE, 6, width=NARROW),
    ]
    for model in models:
        found = layers(model, keras.layers.BatchNormalization)
        assert found and all(layer.synchronized for layer in found)


def test_width_scales_filters_and_never_to_nothing():
    model = build_classifier((16, 16, 3), 10, width=1e-6)
    convolutions = layers(model, keras.layers.Conv2D)
    assert {layer.filters for layer in convolutions} == {1}


@pytest.mark.parametrize("skip", [0.0, 3.0])
def test_generator_output_is_bounded(skip):
    model = build_generator((16, 16, 3), 6, width=NARROW, gradient_skip=skip)
    inputs = 100 * np.random.default_rng(0).standard_normal((2, 16, 16, 6))
    outputs = model(inputs.astype(np.float32)).numpy()
    assert np.abs(outputs).max() <= 1
    assert outputs.std() > 0


def test_gradient_skip_leads_the_sign_to_the_output():
    gain = 0.7
    model = build_generator((16, 16, 3), 6, width=NARROW, gradient_skip=gain)
    for variable in model.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    generator = np.random.default_rng(0)
    sign = generator.integers(-1, 2, (2, 16, 16, 3)).astype(np.float32)
    images = generator.random((2, 16, 16, 3), np.float32)
    outputs = model(np.concatenate([sign, images], axis=-1)).numpy()
    np.testing.assert_allclose(outputs, np.tanh(gain * sign), atol=1e-6)


def test_without_gradient_skip_there_is_no_such_path():
    plain = build_generator((16, 16, 3), 6, width=NARROW)
    skipping = build_generator((16, 16, 3), 6, width=NARROW, gradient_skip=1)
    assert plain.count_params() == skipping.count_params()
    for variable in plain.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    outputs = plain(np.ones((1, 16, 16, 6), np.float32)).numpy()
    np.testing.assert_array_equal(outputs, 0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_at_any_precision(policy):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        classifier = build_classifier((16, 16, 3), 10, width=NARROW)
        generator = build_generator(
            (16, 16, 3), 6, width=NARROW, gradient_skip=1
        )
    finally:
        keras.config.set_dtype_policy(previous)
    assert classifier.get_layer("flatten").compute_dtype == policy[6:]
    assert classifier(np.zeros((1, 16, 16, 3))).dtype == "float32"
    assert generator(np.zeros((1, 16, 16, 6))).dtype == "float32"
    assert all(v.dtype == "float32" for v in classifier.weights)


@pytest.mark.parametrize("build", [build_classifier, build_generator])
def test_networks_survive_a_keras_file(build, tmp_path):
    model = build((16, 16, 3), 6, width=NARROW)
    generator = np.random.default_rng(0)
    inputs = generator.random((2, *model.input_shape[1:]), np.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.name == model.name
    assert [v.path for v in loaded.weights] == [v.path for v in model.weights]
    np.testing.assert_array_equal(model(inputs), loaded(inputs))
