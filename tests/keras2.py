"""Rewrites files of Keras 3 into the forms that Keras 2 wrote."""

import io
import json
import zipfile

import h5py

FUNCTIONAL = "keras.src.engine.functional"
# Settings that came later.
_NEW = ("quantization_config", "input_axes", "output_axes")


def rewrite(path, change):
    """Rewrites the configuration of a .keras or an .h5 file in place.

    Args:
        path: The file.
        change: From JSON values to others.
    """
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = change(json.loads(file.attrs["model_config"]))
            file.attrs["model_config"] = json.dumps(config).encode()
        return
    change_member(
        path,
        "config.json",
        lambda old: json.dumps(change(json.loads(old))).encode(),
    )


def change_member(path, member, change):
    """Replaces the bytes of one member of a .keras file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = change(members[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def old_forms(value):
    """Returns a configuration as Keras 2.15 wrote it."""
    if isinstance(value, list):
        return [old_forms(each) for each in value]
    if not isinstance(value, dict):
        return value
    value = {k: old_forms(v) for k, v in value.items() if k not in _NEW}
    kind = value.get("class_name")
    if kind is None:
        return value
    if kind == "DTypePolicy":
        return value["config"]["name"]
    if kind == "Functional" and "module" in value:
        value["module"] = FUNCTIONAL
    config = value.get("config", {})
    if "batch_shape" in config:
        config["batch_input_shape"] = config.pop("batch_shape")
    _old_settings(kind, config)
    if "output_layers" in config:
        _old_graph(config)
    return value


def _old_settings(kind, config):
    if kind == "BatchNormalization":
        config["axis"] = [3]
    if kind == "DepthwiseConv2D":
        config["groups"] = 1
    if kind in ("RandomFlip", "RandomRotation"):
        config["rng_type"] = "stateful"


def _old_graph(config):
    kinds = {layer["name"]: layer["class_name"] for layer in config["layers"]}

    def called(name, number):
        # A model's own call came first.
        return number + (kinds[name] in ("Functional", "Sequential"))

    for layer in config["layers"]:
        nodes = []
        for node in layer["inbound_nodes"]:
            args = node["args"][0]
            found = args if isinstance(args, list) else [args]
            places = [each["config"]["keras_history"] for each in found]
            nodes.append([[n, called(n, k), t, {}] for n, k, t in places])
        layer["inbound_nodes"] = nodes
    for end in ("input_layers", "output_layers"):
        config[end] = [config[end]]


def without_modules(value):
    """Removes what Keras 2.12 and older did not write."""
    if isinstance(value, list):
        return [without_modules(each) for each in value]
    if not isinstance(value, dict):
        return value
    gone = {"module", "registered_name", "build_config"}
    kept = value.items()
    if "class_name" in value:
        kept = [(k, v) for k, v in kept if k not in gone]
    return {k: without_modules(v) for k, v in kept}


def first_layer_knows(config):
    """Moves the shape from an InputLayer to the layer after it."""
    first, second, *rest = config["config"]["layers"]
    shape = first["config"]["batch_input_shape"]
    second["config"]["batch_input_shape"] = shape
    config["config"]["layers"] = [second, *rest]
    return config


def everywhere(change):
    """Makes a change of one mapping one of all mappings within a value.

    Args:
        change: Changes a mapping in place.
    """

    def changed(value):
        if isinstance(value, list):
            return [changed(each) for each in value]
        if not isinstance(value, dict):
            return value
        value = {k: changed(v) for k, v in value.items()}
        change(value)
        return value

    return changed


@everywhere
def initialisers_with_dtype(config):
    """Lets each initialiser name a dtype, as Keras of TensorFlow 1 did."""
    for name, each in config.items():
        if name.endswith("_initializer"):
            each["config"]["dtype"] = "float32"


def on_windows(content):
    """Names the groups of weights as they were named on Windows."""
    old, written, found = h5py.File(io.BytesIO(content)), io.BytesIO(), []
    old.visit(found.append)
    with h5py.File(written, "w") as new:
        for name in found:
            if isinstance(old[name], h5py.Dataset):
                path, variables, number = name.rsplit("/", 2)
                target = "\\".join(path.split("/"))
                new[f"{target}/{variables}/{number}"] = old[name][()]
            elif name.endswith("/vars"):
                new.require_group("\\".join(name[:-5].split("/")) + "/vars")
    return written.getvalue()
