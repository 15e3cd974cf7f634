"""How a graph of layers ends, seen through the models inside it."""

from collections.abc import Callable
from typing import Any

import keras


def last_layer(model: keras.Model) -> keras.Operation | None:
    """Returns the last operation, which is no model; None without a graph."""
    if not getattr(model, "outputs", None):
        return None
    last = _graph(model).operations[-1]
    return last_layer(last) if isinstance(last, keras.Model) else last


def last_layers(model: keras.Model) -> list[keras.layers.Layer] | None:
    """Returns the last layer that has weights, and the layers after it.

    Those of a model inside are its own. None where Keras knows no graph.
    """
    if not getattr(model, "outputs", None):
        return None
    found: list[keras.layers.Layer] = []
    for operation in reversed(_graph(model).operations):
        if isinstance(operation, keras.Model):
            inner = last_layers(operation)
            if inner is None:
                return None
            found += inner
        elif isinstance(operation, keras.layers.Layer):
            found.append(operation)
        if getattr(operation, "weights", ()):
            break
    return found


def last_operation(model: keras.Model) -> str | None:
    """Names the last activation or else operation of a graph of layers."""
    last = last_layer(model)
    if last is None:
        return None
    activation = getattr(last, "activation", last)
    return getattr(activation, "__name__", type(activation).__name__).lower()


def with_end(
    model: keras.Model, end: Callable[[keras.Operation], Any]
) -> keras.Model:
    """Gives a graph of layers another end, also where a model inside has it.

    Args:
        model: With one input and one output, whose graph Keras knows.
        end: From the last operation, which is no model, to the tensor that
            the new graph ends in, made of what that operation takes.

    Returns:
        A model that shares the layers of `model` but for its last one.
    """
    graph = _graph(model)
    last = graph.operations[-1]
    if isinstance(last, keras.Model):
        inner = with_end(last, end)
        return keras.models.clone_model(
            graph,
            clone_function=lambda layer: inner if layer is last else layer,
        )
    return keras.Model(model.inputs[0], end(last), name=model.name)


def _graph(model: keras.Model) -> keras.Model:
    # That of a Sequential is not public.
    return keras.Model(model.inputs[0], model.outputs[0])
