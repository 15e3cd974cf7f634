"""Who takes part in an evaluation: the classifier, and its rivals."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

from tfgan_robust.attacks.generators import Perturbation
from tfgan_robust.classifiers.loading import Classifier, load_classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.settings import GeneratorSettings
from tfgan_robust.runs import directory, presets
from tfgan_robust.runs.directory import RunDirectory, load_run_config


@dataclasses.dataclass(frozen=True)
class Contestants:
    """The networks of an evaluation.

    Attributes:
        classifier: What is attacked.
        surrogate: Whose gradients are followed too; None for nobody's.
        undefended: A network of the same shape without defence, if known.
        generators: The run's generators, each with how it perturbs.
    """

    classifier: Classifier
    surrogate: Classifier | None = None
    undefended: Classifier | None = None
    generators: tuple[tuple[keras.Model, Perturbation], ...] = ()


def load(
    *,
    run_dir: str | None,
    checkpoint: str,
    model: str | None,
    outputs: str,
    transfer_from: str | None,
    undefended: str | None,
) -> Contestants:
    """Loads the networks of an evaluation.

    Args:
        run_dir: Folder of a training run, or None.
        checkpoint: "best" or "last", for a run.
        model: A `.keras` file or a SavedModel instead.
        outputs: What that model answers with.
        transfer_from: A run or a model, or None.
        undefended: A run or a model; None for the run's own baseline.

    Raises:
        UsageError: if one cannot be loaded, or they differ in shape.
    """
    classifier = load_classifier(
        run_dir=run_dir, checkpoint=checkpoint, model=model, outputs=outputs
    )
    if undefended is None and run_dir is not None:
        undefended = _own_baseline(Path(run_dir))
    rivals = {
        name: None if path is None else _load_rival(name, path, classifier)
        for name, path in (
            ("transfer_from", transfer_from),
            ("undefended", undefended),
        )
    }
    return Contestants(
        classifier,
        rivals["transfer_from"],
        rivals["undefended"],
        () if run_dir is None else _generators(run_dir, checkpoint),
    )


def _own_baseline(run: Path) -> str | None:
    """The undefended twin: trained with --baseline, or by its own command."""
    twin = presets.baseline_of(load_run_config(run))
    nearby = run.parent / directory.default_run_directory(twin).name
    for folder in (RunDirectory(run).baseline, nearby):
        found = RunDirectory(folder)
        if (
            folder != run
            and found.config.is_file()
            and found.classifier("best").is_file()
            and load_run_config(folder).classifier_width
            == twin.classifier_width
        ):
            return str(folder)
    return None


def _load_rival(name: str, path: str, classifier: Classifier) -> Classifier:
    is_run = RunDirectory(Path(path)).config.is_file()
    which: dict[str, Any] = {"run_dir" if is_run else "model": path}
    rival = load_classifier(**which)
    ours = (*classifier.image_shape, classifier.num_classes)
    theirs = (*rival.image_shape, rival.num_classes)
    if ours != theirs:
        raise UsageError(
            f"`{name}` must take the same images and know the same classes: "
            f"{ours}. Received: {theirs} of {path}."
        )
    return rival


def _generators(
    run_dir: str, checkpoint: str
) -> tuple[tuple[keras.Model, Perturbation], ...]:
    config = load_run_config(run_dir)
    if not isinstance(config, GeneratorSettings):
        return ()
    perturbation = Perturbation.of(config)
    folder = RunDirectory(Path(run_dir)).networks(checkpoint)
    return tuple(
        (keras.models.load_model(path, compile=False), perturbation)
        for path in sorted(folder.glob("generator_*.keras"))
    )
