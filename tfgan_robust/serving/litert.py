"""LiteRT (TensorFlow Lite) files, by Keras's own exporter."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from tfgan_robust.lazy import load
from tfgan_robust.networks.logits import as_floats
from tfgan_robust.serving.outputs import with_named_outputs

FILE = "model.tflite"
_SIGNATURE = "serving_default"


def write(
    classifier: keras.Model, class_names: Sequence[str], folder: Path
) -> list[str]:
    """Writes `model.tflite`, with the signature `serving_default` alone.

    The other signatures of a SavedModel decode image files, which LiteRT has
    no operation for.

    Args:
        classifier: From float32 [batch, height, width, channels] in [0, 1] to
            logits [batch, num_classes].
        class_names: Name of each logit; they go into `labels.txt`, a line each,
            as LiteRT's tools read them.
        folder: Where to write, which exists.

    Returns:
        The names of its signatures.
    """
    with_named_outputs(classifier).export(
        str(folder / FILE), format="litert", verbose=False
    )
    lines = "".join(f"{' '.join(name.split())}\n" for name in class_names)
    (folder / "labels.txt").write_text(lines, encoding="utf-8")
    return [_SIGNATURE]


def answers(folder: Path) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Loads what `write` wrote in LiteRT.

    Returns:
        By the name of each signature, a function from uint8 images to logits.
    """
    interpreter = load("ai_edge_litert.interpreter").Interpreter(
        str(folder / FILE)
    )
    run = interpreter.get_signature_runner(_SIGNATURE)

    def logits(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = run(images=as_floats(images))["logits"]
        return found

    return {_SIGNATURE: logits}
