"""A classifier in each of the runtimes that run its exports.

All take and give the same, and have all cores of the machine.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.errors import UsageError
from tfgan_robust.lazy import load
from tfgan_robust.networks.shapes import shapes_of
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.serving import litert, onnx
from tfgan_robust.serving.formats import FORMATS

# From float32 images [batch, height, width, channels] in [0, 1] to logits.
Answer = Callable[[np.ndarray], np.ndarray]
# The model itself, compiled, as `predict` runs it. All else is beside it.
KERAS = "Keras"


def saved_model(folder: Path) -> Answer:
    """Loads a SavedModel in TensorFlow."""
    loaded = tf.saved_model.load(str(folder))

    def answer(images: np.ndarray) -> np.ndarray:
        signature = loaded.signatures["serving_default"]
        found: np.ndarray = signature(images=tf.constant(images))[
            "logits"
        ].numpy()
        return found

    return answer


def onnx_runtime(folder: Path) -> Answer:
    """Loads an ONNX file in ONNX Runtime."""
    session = load("onnxruntime").InferenceSession(
        folder / onnx.FILE, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(["logits"], {"images": images})[0]


def openvino(folder: Path) -> Answer:
    """Loads an ONNX file in OpenVINO."""
    return _in_openvino(folder / onnx.FILE)


def openvino_saved_model(folder: Path) -> Answer:
    """Loads a SavedModel in OpenVINO, which needs no TensorFlow for it."""
    return _in_openvino(load("openvino").convert_model(str(folder)))


def _in_openvino(model: Any) -> Answer:
    # It would choose a lower precision where the processor has one.
    compiled = load("openvino").compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda images: compiled(images)["logits"]


def lite(folder: Path) -> Answer:
    """Loads a LiteRT file."""
    # By default it has one core.
    interpreter = load("ai_edge_litert.interpreter").Interpreter(
        str(folder / litert.FILE), num_threads=os.cpu_count()
    )
    run = interpreter.get_signature_runner("serving_default")
    return lambda images: run(images=images)["logits"]


@dataclasses.dataclass(frozen=True)
class Runtime:
    """What runs an export.

    Attributes:
        format: Of the export, a name of `FORMATS`.
        package: What is imported, and whose version is told.
        load: From the folder of the export.
    """

    format: str
    package: str
    load: Callable[[Path], Answer]


RUNTIMES = {
    "SavedModel": Runtime("savedmodel", "tensorflow", saved_model),
    "SavedModel in OpenVINO float32": Runtime(
        "savedmodel", "openvino", openvino_saved_model
    ),
    "ONNX Runtime": Runtime("onnx", "onnxruntime", onnx_runtime),
    "OpenVINO float32": Runtime("onnx", "openvino", openvino),
    "LiteRT": Runtime("litert", "ai_edge_litert", lite),
}


def load_all(
    classifier: keras.Model, folder: Path, names: Iterable[str] = RUNTIMES
) -> dict[str, Answer]:
    """Exports a classifier, and loads each export in its runtimes.

    Args:
        classifier: From float32 images to logits.
        folder: Where exports are written.
        names: Of `RUNTIMES`.

    Returns:
        By the name of each runtime, Keras first, what it answers.

    Raises:
        UsageError: if a package is absent that one of them needs.
    """
    chosen = {name: RUNTIMES[name] for name in names}
    _check_installed(chosen.values())
    for format in {runtime.format for runtime in chosen.values()}:
        (folder / format).mkdir()
        _, classes = shapes_of(classifier)
        FORMATS[format].load().write(
            classifier, [str(n) for n in range(classes)], folder / format
        )
    return {KERAS: classifier.predict_on_batch} | {
        name: runtime.load(folder / runtime.format)
        for name, runtime in chosen.items()
    }


def _check_installed(runtimes: Iterable[Runtime]) -> None:
    absent = [
        runtime.package
        for runtime in runtimes
        if importlib.util.find_spec(runtime.package) is None
    ]
    if absent:
        raise UsageError(
            f"These runtimes need {', '.join(absent)}; install them with "
            'python -m pip install ".[dev]", or leave them out of `runtimes`.'
        )


def versions(names: Iterable[str]) -> dict[str, str]:
    """Returns the versions of Keras and of what runs the exports."""
    packages = ["keras", *(RUNTIMES[name].package for name in names)]
    return {name: importlib.metadata.version(name) for name in packages}


def add_runtimes(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that chooses among `RUNTIMES`."""
    parser.add_argument(
        "--runtimes",
        type=_names,
        default=list(RUNTIMES),
        help=f"comma-separated, of {', '.join(RUNTIMES)}; default all",
    )


def _names(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(RUNTIMES):
        raise argparse.ArgumentTypeError(
            f"must be among {','.join(RUNTIMES)}. Received: {text}."
        )
    return names


def classifier_of(run_dir: Path) -> keras.Model:
    """Loads the best classifier of a run, in float32."""
    return load_float32(RunDirectory(run_dir).trained_classifier("best"))


def json_file(text: str) -> Path:
    """Parses the path of a file that is to be written."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(
            f"must be a file in a folder that exists. Received: {text}."
        )
    return path
