"""Dropout by fewer random bits drops what it should."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.networks.dropout import Dropout
from tfgan_robust.networks.substitutes import substituted

MANY = (64, 32, 32, 3)


def share_dropped(layer, shape=MANY):
    return np.mean(np.asarray(layer(tf.ones(shape), training=True)) == 0)


@pytest.mark.parametrize("rate", [0.001, 0.3, 0.4, 0.9])
def test_values_are_dropped_as_often_as_asked(rate):
    count = np.prod(MANY)
    spread = np.sqrt(rate * (1 - rate) / count)
    assert abs(share_dropped(Dropout(rate, seed=0)) - rate) < 4 * spread


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_is_kept_makes_up_for_it(dtype):
    layer = Dropout(0.3, seed=0, dtype=dtype)
    outputs = layer(tf.ones(MANY, dtype), training=True)
    assert outputs.dtype == dtype
    values = np.unique(np.asarray(outputs, np.float64))
    assert values == pytest.approx([0, 1 / 0.7], rel=4e-3)


def test_neighbours_are_dropped_independently():
    """Two of them share one draw of 32 bits."""
    outputs = Dropout(0.5, seed=0)(tf.ones(MANY), training=True)
    kept = np.asarray(outputs).reshape(-1) > 0
    for apart in (1, 2, 3):
        correlation = np.corrcoef(kept[:-apart], kept[apart:])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(kept.size)


def test_gradients_pass_where_values_do():
    inputs = tf.random.normal(MANY, seed=0)
    layer = Dropout(0.4, seed=0)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    gradient = tape.gradient(outputs, inputs)
    np.testing.assert_allclose(outputs, gradient * inputs, rtol=1e-6)


def test_seeds_repeat_and_calls_differ():
    layers = [Dropout(0.5, seed=seed) for seed in (1, 1, 2)]
    inputs = tf.ones((8, 5))
    first, same, other = (layer(inputs, training=True) for layer in layers)
    np.testing.assert_array_equal(first, same)
    assert np.any(np.asarray(first) != other)
    assert np.any(np.asarray(first) != layers[0](inputs, training=True))


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 5), (2, 3, 3, 1)])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_any_shape_in_a_graph(shape, jit_compile):
    layer = Dropout(0.5, seed=0)
    unknown = tf.TensorSpec([None] * len(shape))

    @tf.function(input_signature=[unknown], jit_compile=jit_compile)
    def call(inputs):
        return layer(inputs, training=True)

    outputs = call(tf.ones(shape))
    assert outputs.shape == shape
    assert set(np.unique(outputs)) <= {0, 2}


@pytest.mark.parametrize(
    ("options", "training", "expected"),
    [
        ({"rate": 0.5}, False, 0),
        ({"rate": 0.0}, True, 0),
        ({"rate": 1.0}, True, 1),
    ],
)
def test_at_the_ends(options, training, expected):
    outputs = np.asarray(Dropout(**options)(tf.ones(MANY), training=training))
    assert np.mean(outputs == 0) == expected
    assert np.all(outputs == 1 - expected)


def test_shared_masks_are_keras_own():
    layer = Dropout(0.5, noise_shape=(64, 1, 1, 3), seed=0)
    outputs = np.asarray(layer(tf.ones(MANY), training=True))
    np.testing.assert_array_equal(
        outputs, np.broadcast_to(outputs[:, :1, :1], MANY)
    )


def test_files_are_keras_own(tmp_path):
    model = keras.Sequential([keras.Input((6,)), Dropout(0.3, name="drop")])
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert type(loaded.get_layer("drop")) is keras.layers.Dropout
    assert loaded.get_layer("drop").rate == 0.3
    with substituted():
        loaded = keras.models.load_model(path)
    assert type(loaded.get_layer("drop")) is Dropout
