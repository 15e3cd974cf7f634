"""Whether an export answers as Keras does, in a process of its own."""

from pathlib import Path

import numpy as np

from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.cli.fresh_process import run_as_process, run_module
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.networks.logits import as_floats
from tfgan_robust.networks.shapes import shapes_of
from tfgan_robust.serving.formats import FORMATS

# One image alone, and a few.
_BATCHES = (1, 3)
# Of the largest logit: an export fuses and reorders what Keras runs layer by
# layer, and a deep network amplifies the rounding.
_TOLERANCE = 1e-4


def check_export(format: str, folder: Path, classifier_file: Path) -> float:
    """Reloads an export in a fresh process and compares its answers.

    The new process shows that the files suffice: nothing that this process
    holds in memory can stand in for something that was not written.

    Args:
        format: One of `FORMATS`.
        folder: Of the export.
        classifier_file: The `.keras` file that it was made from.

    Returns:
        The largest absolute difference between its logits and Keras'.

    Raises:
        TfganRobustError: if it cannot be loaded or answers otherwise.
    """
    paths = str(folder), str(classifier_file)
    try:
        # A GPU's TF32 products would blur the comparison.
        printed = run_module(__name__, format, *paths, on_cpu=True)
    except TfganRobustError as error:
        raise TfganRobustError(
            f"The export failed its check in a fresh process: {error}"
        ) from None
    return float(printed.split()[-1])


def largest_difference(
    format: str, folder: Path, classifier_file: Path
) -> float:
    """Compares the logits of all entry points with those of Keras.

    Raises:
        TfganRobustError: if they differ by more than rounding.
    """
    classifier = load_float32(classifier_file)
    image_shape, _ = shapes_of(classifier)
    images = np.random.default_rng(0).integers(
        256, size=(max(_BATCHES), *image_shape), dtype=np.uint8
    )
    expected = classifier(as_floats(images), training=False).numpy()
    tolerance = _TOLERANCE * max(1.0, np.abs(expected).max())
    differences = []
    for name, logits in FORMATS[format].load().answers(folder).items():
        for count in _BATCHES:
            difference = np.abs(logits(images[:count]) - expected[:count]).max()
            # Written so that NaN fails too.
            if not difference <= tolerance:
                raise TfganRobustError(
                    f"the logits of {name} differ from Keras' by "
                    f"{difference:.3g}, more than {tolerance:.3g}."
                )
            differences.append(float(difference))
    return max(differences)


def _print_difference(format: str, folder: str, classifier_file: str) -> None:
    print(largest_difference(format, Path(folder), Path(classifier_file)))


if __name__ == "__main__":
    run_as_process(_print_difference)
