"""BatchNormalization folded into the layer before it: the same, sooner.

In inference mode it scales and shifts by constants, which the convolution
before it can do as well. Attacks look at a network thousands of times, so that
the passes over memory that this saves are worth a copy of the weights.
"""

import collections
from typing import Any

import keras
import numpy as np

# The copy differs by rounding: by at most this share of the largest logit, or
# it is not used.
_TOLERANCE = 1e-4
_IMAGES_COMPARED = 8
# Each output channel is a weighted sum of its own.
_SCALABLE = (
    keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense
)  # fmt: skip


def fold_batchnorm(model: keras.Model) -> keras.Model:
    """Removes each BatchNormalization right after a convolution or Dense.

    Args:
        model: From float32 [batch, height, width, channels] in [0, 1]. A
            model that is not a plain graph of Keras' own layers is left
            alone.

    Returns:
        A copy, with the weights of now, that computes the same in inference
        mode up to rounding; `model` itself if there is nothing to remove.
    """
    try:
        folded = _fold(model)
        agreed = folded is not model and _agree(model, folded)
    # Of a Lambda, or a custom layer inside a wrapper, Keras makes no copy,
    # and says so by almost any error.
    except Exception:
        return model
    return folded if agreed else model


def _fold(model: keras.Model) -> keras.Model:
    parts = (model, *model.layers)
    own = all(type(part).__module__.startswith("keras.") for part in parts)
    if not own or not len(model.inputs) == len(model.outputs) == 1:
        # Not the graph that its layers show.
        return model
    folds = _find_folds(model)
    nested = {
        layer.name: _fold(layer)
        for layer in model.layers
        if isinstance(layer, keras.Model)
    }
    if not folds and all(nested[n] is model.get_layer(n) for n in nested):
        return model
    removed = {norm.name for norm in folds.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in nested:
            return nested[layer.name]
        config = layer.get_config()
        if layer.name in folds:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in removed else layer(*args, **kwargs)

    # The graph of a Sequential, which cannot be changed as one.
    graph = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    copy = keras.models.clone_model(
        graph, clone_function=clone, call_function=call
    )
    for layer in model.layers:
        if layer.name in folds:
            weights = _folded_weights(layer, folds[layer.name])
            copy.get_layer(layer.name).set_weights(weights)
        elif layer.weights and layer.name not in removed | nested.keys():
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _find_folds(model: keras.Model) -> dict[str, Any]:
    """Returns the BatchNormalization to be folded into each layer, by name."""
    layers = [
        layer
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    used = [*model.outputs, *keras.tree.flatten([x.input for x in layers])]
    uses = collections.Counter(map(id, used))
    makers = {id(x.output): x for x in layers if _can_scale(x)}
    return {
        makers[id(norm.input)].name: norm
        for norm in layers
        if isinstance(norm, keras.layers.BatchNormalization)
        and id(norm.input) in makers
        and uses[id(norm.input)] == 1
        and norm.axis in (-1, len(norm.output.shape) - 1)
    }


def _can_scale(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer ends in a weighted sum for each channel."""
    return (
        type(layer) in _SCALABLE
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", None) != "channels_first"
    )


def _folded_weights(layer: Any, norm: Any) -> list[np.ndarray]:
    """Returns kernel and bias of a layer and what normalises it in one."""

    def value(variable: Any, default: float) -> Any:
        return default if variable is None else np.float64(variable.numpy())

    spread = np.sqrt(value(norm.moving_variance, 1.0) + norm.epsilon)
    scale = value(norm.gamma, 1.0) / spread
    centred = value(layer.bias, 0.0) - value(norm.moving_mean, 0.0)
    kernel = value(layer.kernel, 1.0)
    by_channel = kernel.shape[-1:]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        by_channel = kernel.shape[-2:]
    kernel = kernel * np.reshape(scale, by_channel)
    bias = centred * scale + value(norm.beta, 0.0)
    return [kernel.astype(np.float32), bias.astype(np.float32)]


def _agree(model: keras.Model, folded: keras.Model) -> bool:
    shape = (_IMAGES_COMPARED, *model.input_shape[1:])
    images = np.random.default_rng(0).random(shape, np.float32)
    before, after = (
        np.asarray(network(images, training=False))
        for network in (model, folded)
    )
    most = _TOLERANCE * np.abs(before).max()
    # Written so that NaN fails too.
    return bool(np.abs(after - before).max() <= most)
