"""Configurations of Keras 2 rewritten as those that Keras 3 reads.

A configuration is JSON values. Only forms are changed: each layer stays the
layer that it was, of the same settings, and nothing is run that was not run
before. What has no equal form is left as it is, for Keras to refuse.
"""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from tfgan_robust.classifiers import old_operations

Config = dict[str, Any]
# Adds a line to what was repaired.
Tell = Callable[[str], None]

_ANY = object()
# Settings that Keras 3 no longer takes, with the value that changes nothing.
_NEUTRAL = {"groups": 1, "rng_type": _ANY, "time_major": False}
# Of training alone, by how their names end.
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
# What `Layer` takes beside what a class of layers names.
_OF_EVERY_LAYER = {"name", "trainable", "dtype", "autocast"}
_MODELS = ("Functional", "Model", "Sequential")
_OLD_HOMES = ("keras.", "tf_keras.", "tensorflow.")
_MODULES = {
    "Functional": "keras.src.models.functional",
    "Sequential": "keras",
}


def repaired(config: Any) -> tuple[Any, list[str]]:
    """Rewrites a model's configuration in the forms of this Keras.

    Args:
        config: JSON values: of a `.keras` file's config.json, or of an `.h5`
            file's attribute model_config.

    Returns:
        Another configuration, and what was changed, a few words each; none
        if it is as Keras 3 writes it.
    """
    told: dict[str, None] = {}
    return _walk(config, lambda line: told.setdefault(line)), list(told)


def _walk(value: Any, tell: Tell) -> Any:
    if isinstance(value, list):
        return [_walk(each, tell) for each in value]
    if not isinstance(value, dict):
        return value
    value = {key: _walk(each, tell) for key, each in value.items()}
    if isinstance(value.get("class_name"), str):
        for repair in _REPAIRS:
            value = repair(value, tell)
    return value


def _listed_layers(entry: Config, tell: Tell) -> Config:
    """Until 2.2, the configuration of a Sequential was the list alone."""
    layers = entry.get("config")
    if entry["class_name"] != "Sequential" or not isinstance(layers, list):
        return entry
    tell("a Sequential without a name")
    return {**entry, "config": {"name": "sequential", "layers": layers}}


def _home(entry: Config, tell: Tell) -> Config:
    """Layers and models are in other modules now."""
    name, module = entry["class_name"], entry.get("module") or ""
    if name == "Model" and "layers" in _settings(entry):
        name = "Functional"
    if not module.startswith(_OLD_HOMES):
        return {**entry, "class_name": name}
    if name in _MODULES:
        home = _MODULES[name]
    elif not module.startswith("keras.") and hasattr(keras.layers, name):
        home = "keras.layers"
    else:
        return entry
    if module == home:
        return entry
    tell(f"the module of {name}")
    return {**entry, "class_name": name, "module": home}


def _input_shape(entry: Config, tell: Tell) -> Config:
    """Inputs are layers of their own, and called batch_shape."""
    settings = _settings(entry)
    if "batch_input_shape" in settings and entry["class_name"] == "InputLayer":
        tell("batch_input_shape")
        shape = settings["batch_input_shape"]
        rest = _without(settings, "batch_input_shape")
        return {**entry, "config": {**rest, "batch_shape": shape}}
    if entry["class_name"] != "Sequential" or not settings.get("layers"):
        return entry
    layers = settings["layers"]
    shape = _first_shape(layers[0]) or settings.get("build_input_shape")
    if any("batch_input_shape" in _settings(layer) for layer in layers):
        tell("batch_input_shape")
        layers = [
            {**layer, "config": _without(layer["config"], "batch_input_shape")}
            if "batch_input_shape" in _settings(layer)
            else layer
            for layer in layers
        ]
        if shape is not None and layers[0]["class_name"] != "InputLayer":
            layers = [_input_layer(layers[0], shape), *layers]
    return {**entry, "config": {**settings, "layers": layers}}


def _first_shape(layer: Config) -> Any:
    shape = _settings(layer).get("batch_input_shape")
    # One that `adapt` met knows its rank alone.
    return shape if shape and any(shape) else None


def _input_layer(first: Config, shape: Any) -> Config:
    made: Config = {
        "class_name": "InputLayer",
        "config": {
            "batch_shape": shape,
            "dtype": "float32",
            "name": f"{_settings(first).get('name', 'first')}_input",
        },
    }
    if "module" in first:
        made |= {"module": "keras.layers", "registered_name": None}
    return made


def _policy(entry: Config, tell: Tell) -> Config:
    """A precision was an object of another class."""
    settings = _settings(entry)
    policy = settings.get("dtype")
    if not isinstance(policy, dict) or "Policy" not in str(
        policy.get("class_name")
    ):
        return entry
    if policy["class_name"] == "DTypePolicy":
        return entry
    tell("dtype policies")
    name = _settings(policy).get("name", "float32")
    return {**entry, "config": {**settings, "dtype": name}}


def _initialisers(entry: Config, tell: Tell) -> Config:
    """Initialisers no longer have a dtype; that of the layer holds."""
    settings = _settings(entry)
    if "dtype" not in settings or not hasattr(
        keras.initializers, entry["class_name"]
    ):
        return entry
    tell("dtype of initialisers")
    return {**entry, "config": _without(settings, "dtype")}


def _axis(entry: Config, tell: Tell) -> Config:
    """BatchNormalization had a list of one axis."""
    settings = _settings(entry)
    axis = settings.get("axis")
    if entry["class_name"] not in (
        "BatchNormalization",
        "SyncBatchNormalization",
        "BatchNormalizationV1",
    ):
        return entry
    if isinstance(axis, list) and len(axis) == 1:
        tell("axis of BatchNormalization")
        settings = {**settings, "axis": axis[0]}
    return {**entry, "class_name": "BatchNormalization", "config": settings}


def _activations(entry: Config, tell: Tell) -> Config:
    """TensorFlow's own softmax was known by its second name."""
    settings = _settings(entry)
    if settings.get("activation") != "softmax_v2":
        return entry
    tell("activation softmax_v2")
    return {**entry, "config": {**settings, "activation": "softmax"}}


def _without_neutral(entry: Config, tell: Tell) -> Config:
    """Removes settings that are not known here and that change nothing."""
    settings = _settings(entry)
    layer = getattr(keras.layers, entry["class_name"], None)
    if layer is None or entry["class_name"] in _MODELS or not settings:
        return entry
    takes = _OF_EVERY_LAYER | set(inspect.signature(layer.__init__).parameters)
    unknown = [
        key
        for key, value in settings.items()
        if key not in takes
        and (
            value is None
            or key.endswith(_OF_TRAINING)
            or (key in _NEUTRAL and _NEUTRAL[key] in (value, _ANY))
        )
    ]
    for key in unknown:
        if settings[key] is not None:
            tell(f"{key} of {entry['class_name']}")
    return {**entry, "config": _without(settings, *unknown)}


def _operations(entry: Config, tell: Tell) -> Config:
    """Functions of TensorFlow are layers now, where there is one."""
    layers = _settings(entry).get("layers")
    if not isinstance(layers, list):
        return entry
    made = [
        (old_operations.as_layer(layer) or layer)
        if layer.get("class_name") == "TFOpLambda"
        else layer
        for layer in layers
    ]
    for before, after in zip(layers, made, strict=True):
        if before is not after:
            tell(f"{before['config']['function']} as {after['class_name']}")
    return {**entry, "config": {**entry["config"], "layers": made}}


def _nodes(entry: Config, tell: Tell) -> Config:
    """The calls of a model within a model are counted from 0 now."""
    settings = _settings(entry)
    if entry["class_name"] not in _MODELS or "output_layers" not in settings:
        return entry
    layers = settings["layers"]
    shifts = {
        layer["name"]: _settings(layer)
        for layer in layers
        if layer["class_name"] in _MODELS and "name" in layer
    }
    kinds = {layer.get("name"): layer["class_name"] for layer in layers}
    calls = {
        layer.get("name"): len(layer.get("inbound_nodes") or ())
        for layer in layers
    }
    nodes = [layer.get("inbound_nodes") or [] for layer in layers]
    if any(isinstance(node, dict) for each in nodes for node in each):
        return entry  # As Keras 3 writes them.
    ends = settings["output_layers"]
    highest: dict[str, int] = {}
    for name, number in _references([*nodes, ends]):
        highest[name] = max(number, highest.get(name, 0))
    shift = {
        name: max(0, highest.get(name, 0) - calls[name] + 1) for name in shifts
    }
    if not any(shift.values()):
        return entry
    # Keras itself counts so where a Functional is the output.
    of_ends = {n: by for n, by in shift.items() if kinds[n] == "Sequential"}
    moved = [
        {**layer, "inbound_nodes": _shifted(layer["inbound_nodes"], shift)}
        if layer.get("inbound_nodes")
        else layer
        for layer in layers
    ]
    changed = {
        **settings, "layers": moved, "output_layers": _shifted(ends, of_ends)
    }  # fmt: skip
    if changed != settings:
        tell("calls of a model within a model")
    return {**entry, "config": changed}


def _references(value: Any) -> list[tuple[str, int]]:
    """Finds all [layer, call, output, ...] of the form of Keras 2."""
    if not isinstance(value, list):
        return []
    if _is_reference(value):
        return [(value[0], value[1])]
    return [found for each in value for found in _references(each)]


def _shifted(value: Any, shift: dict[str, int]) -> Any:
    if not isinstance(value, list):
        return value
    if _is_reference(value):
        name, number, *rest = value
        return [name, number - shift.get(name, 0), *rest]
    return [_shifted(each, shift) for each in value]


def _is_reference(value: list[Any]) -> bool:
    return (
        len(value) >= 3
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def _settings(entry: Config) -> Config:
    settings = entry.get("config")
    return settings if isinstance(settings, dict) else {}


def _without(settings: Config, *names: str) -> Config:
    return {k: value for k, value in settings.items() if k not in names}


_REPAIRS: tuple[Callable[[Config, Tell], Config], ...] = (
    _listed_layers,
    _home,
    _input_shape,
    _policy,
    _initialisers,
    _axis,
    _activations,
    _without_neutral,
    _operations,
    _nodes,
)
