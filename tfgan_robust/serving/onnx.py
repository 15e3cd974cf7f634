"""ONNX files, by Keras's own exporter (which uses tf2onnx)."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfgan_robust.lazy import load
from tfgan_robust.networks.logits import as_floats
from tfgan_robust.serving.outputs import with_named_outputs

FILE = "model.onnx"


def write(
    classifier: keras.Model, class_names: Sequence[str], folder: Path
) -> list[str]:
    """Writes `model.onnx`.

    Its input is `images`, float32 [batch, height, width, channels] in [0, 1],
    its outputs are `logits` and `probabilities`.

    Args:
        classifier: From such images to logits [batch, num_classes].
        class_names: Name of each logit; they go into the file's metadata.
        folder: Where to write, which exists.

    Returns:
        The names of its entry points: an ONNX file has one.
    """
    path = folder / FILE
    with warnings.catch_warnings():
        # tf2onnx meets names of NumPy that are about to change.
        warnings.simplefilter("ignore", FutureWarning)
        with_named_outputs(classifier).export(
            str(path), format="onnx", verbose=False
        )
    onnx = load("onnx")
    model = onnx.load(path)
    _spell_out_erfc(model.graph)
    for given, wanted in zip(
        model.graph.output, ("logits", "probabilities"), strict=True
    ):
        _rename(model.graph, given.name, wanted)
    for number, name in enumerate(class_names):
        entry = model.metadata_props.add()
        entry.key, entry.value = f"class_{number}", name
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return ["images"]


def _spell_out_erfc(graph: Any) -> None:
    """Writes 1 - erf for TensorFlow's erfc, which ONNX lacks: exact GELU."""
    helper = load("onnx").helper
    places = [n for n, node in enumerate(graph.node) if node.op_type == "Erfc"]
    # From the end, so that places stay.
    for place in reversed(places):
        node = graph.node[place]
        (given,), (wanted,) = node.input, node.output
        erf, one = f"{node.name}/erf", f"{node.name}/one"
        value = helper.make_tensor(one, load("onnx").TensorProto.FLOAT, (), [1])
        spelled = (
            helper.make_node("Constant", (), [one], one, value=value),
            helper.make_node("Erf", [given], [erf], erf),
            helper.make_node("Sub", [one, erf], [wanted], node.name),
        )
        del graph.node[place]
        for each in reversed(spelled):
            graph.node.insert(place, each)


def _rename(graph: Any, old: str, new: str) -> None:
    """Names an output, where it is computed and where it leaves the graph."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
    for output in graph.output:
        if output.name == old:
            output.name = new


def answers(folder: Path) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Loads what `write` wrote in ONNX Runtime.

    Returns:
        By the name of its entry point, a function from uint8 images to logits.
    """
    session = load("onnxruntime").InferenceSession(
        folder / FILE, providers=["CPUExecutionProvider"]
    )

    def logits(images: np.ndarray) -> np.ndarray:
        given = {"images": as_floats(images)}
        found: np.ndarray = session.run(["logits"], given)[0]
        return found

    return {"images": logits}
