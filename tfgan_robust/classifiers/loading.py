"""Loads classifiers: of a run, of a file, of a SavedModel."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from tfgan_robust.classifiers.answers import check_outputs
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.endings import last_layers
from tfgan_robust.classifiers.fitting import ImageShape
from tfgan_robust.classifiers.interface import UNIT, parse_input_range
from tfgan_robust.classifiers.model_files import read_model
from tfgan_robust.errors import UsageError
from tfgan_robust.networks import pretrained
from tfgan_robust.networks.logits import set_precision, to_float32
from tfgan_robust.networks.widening import with_float32_variables
from tfgan_robust.reports.progress import say
from tfgan_robust.runs.directory import RunDirectory, check_checkpoint
from tfgan_robust.runs.stored import (
    load_run_config,
    naming_imports,
    stored_dataset,
)


def load_classifier(
    *,
    run_dir: str | Path | None = None,
    checkpoint: str = "best",
    model: str | Path | None = None,
    outputs: str = "auto",
    input_range: str | None = None,
    image_shape: Sequence[int] | Callable[[], ImageShape] | None = None,
) -> Classifier:
    """Loads the classifier of a run, a `.keras` file or a SavedModel.

    Args:
        run_dir: Folder of a training run.
        checkpoint: "best", "last" or "epoch-N", for a run.
        model: A `.keras` file, the folder of a SavedModel, or "pretrained:"
            with the name of a classifier that comes with the package, instead.
        outputs: What that model answers with, one of `interface.OUTPUTS`.
        input_range: The pixels that it was made for, if not [0, 1]; see
            `interface.parse_input_range`.
        image_shape: Height, width and channels of the images, or a function
            that finds them out: for a file whose network leaves its size
            open, or takes one channel.

    Returns:
        The classifier, computing in float32.

    Raises:
        UsageError: unless exactly one is given and can be loaded.

    Example:
        >>> import keras, tempfile
        >>> layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/mine.keras")
        ...     classifier = load_classifier(model=f"{folder}/mine.keras")
        >>> classifier.description, classifier.num_classes
        ('mine.keras', 10)
    """
    if (run_dir is None) == (model is None):
        raise UsageError("Give either `run_dir` or `model`.")
    check_outputs(outputs)
    if run_dir is not None:
        classifier = _of_run(RunDirectory(Path(run_dir)), checkpoint)
    else:
        classifier = _of_file(
            str(model), outputs, input_range, _asking(image_shape)
        )
    source = {
        "run_dir": None if run_dir is None else _absolute(run_dir),
        "checkpoint": checkpoint,
        "model": None if model is None else _absolute(model),
        # What was found out need not be asked again.
        "outputs": classifier.outputs,
        "input_range": input_range,
        "image_shape": list(classifier.image_shape),
    }
    return dataclasses.replace(classifier, source=source)


def _of_run(run: RunDirectory, checkpoint: str) -> Classifier:
    load_run_config(run.path)
    check_checkpoint(checkpoint)
    path = run.trained_classifier(checkpoint)
    with naming_imports(run.path):
        network = load_float32(path)
    classifier = Classifier.from_keras(
        network,
        outputs="logits",
        description=f"{run.path.name} ({checkpoint})",
    )
    return dataclasses.replace(
        classifier, input_range=UNIT, class_names=_trained_classes(run)
    )


def _asking(
    image_shape: Sequence[int] | Callable[[], ImageShape] | None,
) -> Callable[[], ImageShape] | None:
    if image_shape is None or callable(image_shape):
        return image_shape
    height, width, channels = image_shape
    return lambda: (height, width, channels)


def _absolute(path: str | Path) -> str:
    if pretrained.is_pretrained(path):
        return str(path)
    return str(Path(path).absolute())


def _of_file(
    model: str,
    outputs: str,
    input_range: str | None,
    image_shape: Callable[[], ImageShape] | None,
) -> Classifier:
    pixels = None if input_range is None else parse_input_range(input_range)
    path = pretrained.locate(model)
    if pretrained.is_pretrained(model):
        if pixels is not None or outputs not in ("auto", "logits"):
            raise UsageError(
                "`input_range` and `outputs` go with models of others; what "
                f"{model} takes and gives is known."
            )
        classifier = dataclasses.replace(
            Classifier.from_keras(
                load_float32(path), outputs="logits", description=model
            ),
            input_range=UNIT,
            class_names=tuple(pretrained.card(model)["class_names"]),
        )
    elif path.is_dir():
        classifier = Classifier.from_saved_model(path, outputs=outputs)
    elif path.is_file():
        network, notes = read_model(path)
        classifier = Classifier.from_keras(
            network,
            outputs=outputs,
            description=path.name,
            input_range=pixels,
            image_shape=image_shape,
        )
        return dataclasses.replace(
            classifier, notes=(*notes, *classifier.notes)
        )
    else:
        raise UsageError(f"There is no model at {path}.")
    return classifier if pixels is None else classifier.fed(pixels)


def load_pretrained(name: str) -> keras.Model:
    """Loads a classifier that comes with the package.

    Args:
        name: One of `pretrained.names`, such as "cifar10-jpeg75". What it is
            says `pretrained.card`.

    Returns:
        From float32 [batch, height, width, channels] in [0, 1] to logits
        [batch, num_classes], computing in float32.

    Raises:
        UsageError: for an unknown name, or a file that is absent or damaged.

    Example:
        >>> from tfgan_robust.networks import pretrained
        >>> models = [load_pretrained(name) for name in pretrained.names()]
        >>> all(model.compute_dtype == "float32" for model in models)
        True
    """
    name = name.removeprefix(pretrained.PREFIX)
    return load_float32(pretrained.locate(pretrained.PREFIX + name))


def load_float32(path: str | Path) -> keras.Model:
    """Loads a classifier and converts it to float32 throughout.

    What was repaired of an old file is printed.

    Args:
        path: A `.keras` or `.h5` file. A module that defines classes of its
            model must have been imported.

    Returns:
        The model, all of whose layers compute in float32.

    Raises:
        UsageError: if the file cannot be read.
    """
    return to_float32(_read(path))


def load_trainable(path: str | Path, precision: str) -> keras.Model:
    """Loads a classifier that is to be trained in some precision.

    What was repaired of an old file is printed.

    Args:
        path: See `load_float32`.
        precision: Name of a Keras dtype policy, for all layers but the last
            one with weights and those after it, whose logits are float32;
            whatever the file says. Where Keras does not know which these
            are, all are float32, which is said.

    Raises:
        UsageError: if the file cannot be read.
    """
    if precision == "float32":
        return load_float32(path)
    model = with_float32_variables(_read(path))
    ends = last_layers(model)
    if ends is None:
        say(
            "NOTE: this classifier is trained in float32: logits must be, and "
            "of a subclassed model Keras does not know which layer is the last."
        )
        return to_float32(model)
    set_precision(model, precision)
    for layer in ends:
        layer.dtype_policy = "float32"
    return model


def _read(path: str | Path) -> keras.Model:
    model, notes = read_model(path)
    for note in notes:
        say(f"NOTE: {note}")
    return model


def _trained_classes(run: RunDirectory) -> tuple[str, ...] | None:
    """Returns the class names that a run was trained with, if it says so."""
    names = stored_dataset(run.path).get("class_names")
    return None if names is None else tuple(names)
