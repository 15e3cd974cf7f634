"""What a classifier answers in a process that knows nothing of this one."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.cli.fresh_process import run_as_process, run_module
from tfgan_robust.errors import TfganRobustError, UsageError

_SOURCE, _IMAGES, _LOGITS = "source.json", "images.npz", "logits.npz"
_LONGEST = 600.0


def fresh_logits(
    classifier: Classifier, batches: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Loads a classifier once more, elsewhere, and asks it there.

    Args:
        classifier: From `load_classifier`.
        batches: Each float32 [batch, height, width, channels] in [0, 1]; they
            are asked in this order, and are all that it is asked.

    Returns:
        Its logits for each of them, float32 [batch, num_classes], computed
        on the CPU.

    Raises:
        UsageError: if there is no file to load it from.
        TfganRobustError: if it cannot be loaded there, or does not answer.
    """
    if classifier.source is None:
        raise UsageError(
            "Only a classifier that was loaded from a file can be loaded "
            f"again. Received: {classifier.description}."
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / _SOURCE).write_text(json.dumps(classifier.source))
        np.savez(folder / _IMAGES, *batches)
        try:
            run_module(__name__, name, on_cpu=True, timeout=_LONGEST)
        except subprocess.TimeoutExpired:
            raise TfganRobustError(
                f"it did not answer in a fresh process in {_LONGEST:g} s."
            ) from None
        except TfganRobustError as error:
            raise TfganRobustError(
                f"it cannot be loaded in a fresh process: {error}"
            ) from None
        return _in_order(folder / _LOGITS)


def _answer(name: str) -> None:
    """Answers a request in the process that was started for it."""
    folder = Path(name)
    source = json.loads((folder / _SOURCE).read_text())
    classifier = load_classifier(**source)
    answers = [
        classifier.logits_fn(tf.constant(batch)).numpy()
        for batch in _in_order(folder / _IMAGES)
    ]
    np.savez(folder / _LOGITS, *answers)


def _in_order(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return [stored[f"arr_{number}"] for number in range(len(stored.files))]


if __name__ == "__main__":
    run_as_process(_answer)
