"""What all networks of the package have in common."""

import contextlib
import itertools

import keras
import numpy as np
import pytest
from toys import small_generator, small_vgg

from tfgan_robust.errors import UsageError
from tfgan_robust.lazy import load
from tfgan_robust.networks.generator import build_generator
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.networks.resnet18 import build_resnet18
from tfgan_robust.networks.substitutes import substituted
from tfgan_robust.networks.vit import build_vit

SHAPES = [(16, 16, 3), (20, 20, 3), (28, 28, 1), (32, 32, 3), (16, 24, 3)]


def small_resnet(image_shape=(16, 16, 3), num_classes=10):
    return build_resnet18(
        image_shape, num_classes, classifier_width=1 / 32,
        batchnorm_momentum=0.9,
    )  # fmt: skip


def small_vit(image_shape=(16, 16, 3), num_classes=10):
    return build_vit(
        image_shape, num_classes, classifier_width=1 / 32,
        batchnorm_momentum=0.9,
    )  # fmt: skip


CLASSIFIERS = [small_vgg, small_resnet, small_vit]
ALL = [*CLASSIFIERS, small_generator]


def inputs_of(model, count=2):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("name", ["vgg", "resnet18", "vit"])
def test_a_row_builds_with_its_own_settings_alone(name):
    row = NETWORKS[name]
    settings = {**vars(row.settings()), "classifier_width": 1 / 32}
    model = load(row.build)((16, 16, 1), 3, **settings)
    assert model(inputs_of(model)).shape == (2, 3)
    assert model.name == "classifier"


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        *itertools.product(CLASSIFIERS, SHAPES),
        *itertools.product([small_resnet, small_vit], [(9, 9, 3), (33, 17, 1)]),
    ],
)
def test_classifiers_take_other_sizes(build, shape):
    model = build(shape, 7)
    assert model(inputs_of(model)).shape == (2, 7)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_generators_take_other_sizes(shape):
    model = small_generator(shape, shape[-1])
    images = inputs_of(model)
    assert model(images).shape == images.shape


@pytest.mark.parametrize(
    "shape", [(12, 12, 3), (33, 33, 3), (30, 32, 3), (32, 18, 3), (8, 64, 3)]
)
@pytest.mark.parametrize("build", [small_vgg, small_generator])
def test_sizes_that_the_papers_networks_cannot_halve_are_refused(build, shape):
    with pytest.raises(UsageError, match="multiples of 4") as error:
        build(shape, 3)
    assert f"Received: {shape[0]} x {shape[1]}" in str(error.value)


@pytest.mark.parametrize("build", ALL)
def test_all_normalisation_spans_devices(build):
    found = [
        layer
        for layer in build().layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert found and all(layer.synchronized for layer in found)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("build", ALL)
def test_outputs_are_float32_at_any_precision(build, policy):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy(previous)
    assert model.layers[1].compute_dtype == policy[6:]
    assert model(inputs_of(model)).dtype == "float32"
    assert all(v.dtype == "float32" for v in model.weights)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_wide_generator_follows_the_precision(policy):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build_generator(
            (16, 16, 3), 3, width=0.5, name="generator", gradient_skip=1
        )
    finally:
        keras.config.set_dtype_policy(previous)
    assert model.layers[1].compute_dtype == policy[6:]
    assert model(inputs_of(model)).dtype == "float32"


@pytest.mark.parametrize("build", ALL)
def test_networks_survive_a_keras_file(build, tmp_path):
    model = build()
    inputs = inputs_of(model)
    model.save(tmp_path / "model.keras")
    for scope, tolerance in (
        (substituted(), 0),
        (contextlib.nullcontext(), 1e-5),
    ):
        with scope:
            loaded = keras.models.load_model(tmp_path / "model.keras")
        assert loaded.name == model.name
        paths = [v.path for v in model.weights]
        assert [v.path for v in loaded.weights] == paths
        np.testing.assert_allclose(
            model(inputs), loaded(inputs), rtol=tolerance, atol=tolerance
        )
