"""The fused normalisation is Keras's own, sooner."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.classifiers.folding import fold_batchnorm
from tfgan_robust.networks import batchnorm
from tfgan_robust.networks.batchnorm import BatchNormalization
from tfgan_robust.networks.logits import to_float32

SHAPE = (5, 6, 4, 3)
OPTIONS = [
    {},
    {"momentum": 0.7, "epsilon": 1e-2},
    {"scale": False},
    {"center": False},
    {"trainable": False},
]
# What the kernel does not compute.
OTHERS = [
    {"axis": 1},
    {"renorm": True},
    {"dtype": "float64"},
]


def images(dtype=np.float32, shape=SHAPE):
    drawn = np.random.default_rng(0).normal(2, 3, shape)
    return tf.constant(drawn.astype(dtype))


def pair(shape=SHAPE, **options):
    """Our layer and Keras's, with equal weights of no special value."""
    layers = [
        kind(**options)
        for kind in (BatchNormalization, keras.layers.BatchNormalization)
    ]
    for layer in layers:
        layer.build(shape)
        generator = np.random.default_rng(1)
        layer.set_weights(
            [generator.uniform(0.5, 2, w.shape) for w in layer.weights]
        )
    return layers


def answers(layer, inputs, training, **options):
    """Outputs, gradients of a loss that is not linear, and weights after."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training, **options)
        weights = tf.cast(tf.range(tf.size(outputs)), tf.float32)
        loss = tf.reduce_sum(
            tf.sin(tf.cast(outputs, tf.float32))
            * tf.sin(tf.reshape(weights, tf.shape(outputs)))
        )
    variables = [v.value for v in layer.trainable_variables]
    gradients = tape.gradient(loss, [inputs, *variables])
    return [outputs, *gradients, *layer.weights]


def assert_alike(layers, inputs, training, **tolerance):
    ours, theirs = (answers(layer, inputs, training) for layer in layers)
    assert ours[0].dtype == theirs[0].dtype
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            np.asarray(one, np.float64),
            np.asarray(other, np.float64),
            **{"rtol": 1e-4, "atol": 1e-5} | tolerance,
        )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [*OPTIONS, *OTHERS], ids=str)
def test_it_computes_what_keras_does(options, training):
    dtype = options.get("dtype", "float32")
    layers = pair(**options)
    assert_alike(layers, images(dtype), training)
    # And once more, from the averages of the first time.
    assert_alike(layers, images(dtype), training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("channels", [3, 16])
def test_low_precision_keeps_statistics_in_float32(policy, training, channels):
    shape = (64, 8, 8, channels)
    inputs = tf.cast(images(shape=shape), policy.removeprefix("mixed_"))
    layers = pair(shape, dtype=policy)
    assert_alike(layers, inputs, training, rtol=0.05, atol=0.05)
    for one, other in zip(*(layer.weights for layer in layers), strict=True):
        assert one.dtype == "float32"
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1, 3), (1, 2, 1, 3)])
def test_against_numpy(shape):
    layer, _ = pair(shape, momentum=0.75, epsilon=1e-3)
    gamma, beta, mean, variance = layer.get_weights()
    inputs = images(shape=shape)
    x = np.asarray(inputs, np.float64)
    batch_mean, batch_variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    expected = gamma * (x - batch_mean) / np.sqrt(batch_variance + 1e-3) + beta
    np.testing.assert_allclose(layer(inputs, training=True), expected, 1e-3)
    mean = 0.75 * mean + 0.25 * batch_mean
    # The variance of the batch, without the factor n / (n - 1).
    variance = 0.75 * variance + 0.25 * batch_variance
    np.testing.assert_allclose(layer.moving_mean, mean, 1e-5)
    np.testing.assert_allclose(layer.moving_variance, variance, 1e-5)
    expected = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(layer(inputs, training=False), expected, 1e-4)


def test_without_images_averages_stay():
    layer, _ = pair()
    before = layer.get_weights()
    layer(images(shape=(0, *SHAPE[1:])), training=True)
    np.testing.assert_array_equal(layer.get_weights(), before)


def test_masks_are_keras_own():
    mask = tf.constant(np.random.default_rng(2).random(SHAPE[:3]) < 0.5)
    ours, theirs = (
        answers(layer, images(), True, mask=mask) for layer in pair()
    )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def chain(kind):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="convolution"),
            kind(name="norm"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="dense"),
        ]
    )


def config_in(path):
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("config.json"))


def test_files_are_keras_own(tmp_path):
    ours, theirs = map(
        chain, (BatchNormalization, keras.layers.BatchNormalization)
    )
    inputs = images(shape=(16, 8, 8, 3))
    ours(inputs, training=True)
    theirs.set_weights(ours.get_weights())
    for model, name in ((ours, "ours"), (theirs, "theirs")):
        model.save(tmp_path / f"{name}.keras")
    configs = [config_in(tmp_path / f"{n}.keras") for n in ("ours", "theirs")]
    layers = [c["config"]["layers"][2] for c in configs]
    for layer in layers:
        layer.pop("registered_name")
        layer["build_config"] = dict(layer["build_config"])
    assert layers[0]["module"] == "keras.layers"
    assert layers[0] == layers[1]
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert type(loaded.get_layer("norm")) is keras.layers.BatchNormalization
    for one, other in zip(loaded.weights, ours.weights, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(loaded(inputs), ours(inputs), atol=1e-5)
    # Weights of Keras's layer fit as they are, in both kinds of file.
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    fresh = chain(BatchNormalization)
    fresh.load_weights(tmp_path / "theirs.weights.h5")
    np.testing.assert_allclose(fresh(inputs), theirs(inputs), atol=1e-5)


def test_it_folds_and_changes_precision():
    model = chain(BatchNormalization)
    inputs = images(shape=(16, 8, 8, 3))
    model(inputs, training=True)
    folded = fold_batchnorm(model)
    assert "norm" not in [layer.name for layer in folded.layers]
    np.testing.assert_allclose(folded(inputs), model(inputs), atol=1e-4)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        low = chain(BatchNormalization)
    finally:
        keras.config.set_dtype_policy("float32")
    low.set_weights(model.get_weights())
    np.testing.assert_allclose(
        to_float32(low)(inputs), model(inputs), atol=1e-5
    )


def test_inside_a_stateless_call_nothing_moves():
    model = chain(BatchNormalization)
    before = model.get_weights()
    inputs = images(shape=(16, 8, 8, 3))
    _, after = model.stateless_call(
        model.trainable_variables,
        model.non_trainable_variables,
        inputs,
        training=True,
    )
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    expected = chain(keras.layers.BatchNormalization)
    expected(inputs, training=True)
    for value, variable in zip(
        after, expected.non_trainable_variables, strict=True
    ):
        np.testing.assert_allclose(value, variable, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_a_graph_of_any_batch_size(jit_compile):
    model = chain(BatchNormalization)

    @tf.function(
        input_signature=[tf.TensorSpec((None, 8, 8, 3))],
        jit_compile=jit_compile,
    )
    def call(inputs):
        return model(inputs, training=True)

    for count in (3, 16):
        twin = chain(keras.layers.BatchNormalization)
        twin.set_weights(model.get_weights())
        inputs = images(shape=(count, 8, 8, 3))
        np.testing.assert_allclose(
            call(inputs), twin(inputs, training=True), atol=1e-3
        )
        for one, other in zip(model.weights, twin.weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("gpus", "deterministic", "training", "fused"),
    [
        (["GPU"], True, False, False),
        (["GPU"], True, True, True),
        (["GPU"], False, False, True),
        ([], True, False, True),
    ],
)
def test_where_the_kernel_has_no_deterministic_gradient_it_is_not_taken(
    monkeypatch, gpus, deterministic, training, fused
):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: gpus)
    monkeypatch.setattr(
        batchnorm, "is_op_determinism_enabled", lambda: deterministic
    )
    ours, keras_own = pair()
    found = answers(ours, images(), training)
    for one, other in zip(
        found, answers(keras_own, images(), training), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    graph = tf.function(
        lambda inputs: answers(ours, inputs, training)[1], autograph=False
    ).get_concrete_function(tf.TensorSpec(SHAPE))
    kinds = {operation.type for operation in graph.graph.get_operations()}
    assert ("FusedBatchNormGradV3" in kinds) == fused
