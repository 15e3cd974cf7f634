"""TensorFlow's functions in graphs of Keras 2, as layers of Keras 3.

Where Keras 2 met `x / 255.0` or `tf.nn.relu(x)` it kept a TFOpLambda, which
Keras 3 does not read. Those that have a layer of the same effect become one.
"""

from collections.abc import Callable
from typing import Any

Config = dict[str, Any]

# Of calls on constants: from the constant to the settings of a Rescaling.
_RESCALED: dict[str, Callable[[Any], Config]] = {
    "math.truediv": lambda y: _rescaling(_each(y, lambda v: 1 / v)),
    "math.divide": lambda y: _rescaling(_each(y, lambda v: 1 / v)),
    "math.multiply": lambda y: _rescaling(y),
    "math.subtract": lambda y: _rescaling(1.0, _each(y, lambda v: -v)),
    "math.add": lambda y: _rescaling(1.0, y),
    "__operators__.add": lambda y: _rescaling(1.0, y),
    "nn.bias_add": lambda y: _rescaling(1.0, y),
}  # fmt: skip
# Of calls on two tensors.
_MERGED = {
    "math.multiply": "Multiply",
    "math.subtract": "Subtract",
    "math.add": "Add",
    "__operators__.add": "Add",
}
# Of calls on one tensor: class and settings of the layer.
_LAYERS: dict[str, tuple[str, Config]] = {
    "nn.relu": ("ReLU", {}),
    "nn.relu6": ("ReLU", {"max_value": 6.0}),
    "nn.softmax": ("Softmax", {}),
    "math.sigmoid": ("Activation", {"activation": "sigmoid"}),
    "nn.sigmoid": ("Activation", {"activation": "sigmoid"}),
    "math.tanh": ("Activation", {"activation": "tanh"}),
    "nn.silu": ("Activation", {"activation": "silu"}),
}
# What the second argument is called.
_SECOND = ("y", "bias")


def as_layer(entry: Config) -> Config | None:
    """Returns a layer that does what a function of TensorFlow does.

    Args:
        entry: Of a TFOpLambda in the "layers" of a functional model.

    Returns:
        Another entry; None if there is no such layer, or the call has
        arguments that it does not know.
    """
    function = entry["config"].get("function")
    calls = entry.get("inbound_nodes")
    if not isinstance(calls, list) or len(calls) != 1:
        return None
    call = calls[0]
    if not isinstance(call, list) or len(call) != 4:
        return None
    *place, arguments = call
    given = {
        k: v for k, v in arguments.items() if v is not None and k != "name"
    }
    second = [given.pop(name) for name in _SECOND if name in given]
    if place[0] == "_CONSTANT_VALUE" or given:
        return None
    if not second:
        if function not in _LAYERS:
            return None
        return _made(entry, *_LAYERS[function], [[*place, {}]])
    (value,) = second
    if _is_tensor(value):
        if function not in _MERGED:
            return None
        return _made(
            entry, _MERGED[function], {}, [[*place, {}], [*value, {}]]
        )  # fmt: skip
    if function not in _RESCALED:
        return None
    return _made(
        entry, "Rescaling", _RESCALED[function](value), [[*place, {}]]
    )  # fmt: skip


def _rescaling(scale: Any, offset: Any = 0.0) -> Config:
    return {"scale": scale, "offset": offset}


def _made(
    entry: Config, layer: str, settings: Config, inputs: list[Any]
) -> Config:
    made: Config = {
        "class_name": layer,
        "config": {
            "name": entry["name"], "trainable": True, "dtype": "float32",
            **settings,
        },
        "name": entry["name"],
        "inbound_nodes": [inputs],
    }  # fmt: skip
    if "module" in entry:
        made |= {"module": "keras.layers", "registered_name": None}
    return made


def _is_tensor(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


def _each(value: Any, function: Callable[[float], float]) -> Any:
    if isinstance(value, list):
        return [_each(each, function) for each in value]
    return function(value)
