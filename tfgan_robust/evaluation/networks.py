"""The networks of an evaluation: the attacked classifier, and others."""

import dataclasses
from pathlib import Path

import keras

from tfgan_robust.attacks.generators import Perturbation
from tfgan_robust.classifiers.loading import Classifier, load_classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.settings import GeneratorSettings
from tfgan_robust.runs import directory, presets
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory, load_run_config


@dataclasses.dataclass(frozen=True)
class EvaluationNetworks:
    """The networks of an evaluation.

    Attributes:
        classifier: What is attacked.
        surrogate: Another classifier whose gradients are followed, too.
        undefended: A network of the same shape without defence, if known.
        generators: The run's generators, each with how it perturbs.
    """

    classifier: Classifier
    surrogate: Classifier | None = None
    undefended: Classifier | None = None
    generators: tuple[tuple[keras.Model, Perturbation], ...] = ()


def load_networks(
    *,
    run_dir: str | None = None,
    config: TrainConfig | None = None,
    checkpoint: str = "best",
    model: str | None = None,
    outputs: str = "logits",
    transfer_from: str | None = None,
    undefended: str | None = None,
) -> EvaluationNetworks:
    """Loads the networks of an evaluation.

    Args:
        run_dir: Folder of a training run, or None.
        config: The settings of that run.
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
    generators: list[tuple[keras.Model, Perturbation]] = []
    if run_dir is not None and config is not None:
        run = RunDirectory(Path(run_dir))
        undefended = undefended or _own_baseline(run.path, config)
        generators = _generators(run.networks(checkpoint), config)
    return EvaluationNetworks(
        classifier,
        _load_alike("transfer_from", transfer_from, classifier),
        _load_alike("undefended", undefended, classifier),
        tuple(generators),
    )


def _generators(
    folder: Path, config: TrainConfig
) -> list[tuple[keras.Model, Perturbation]]:
    if not isinstance(config, GeneratorSettings):
        return []
    perturbation = Perturbation.of(config)
    return [
        (keras.models.load_model(path, compile=False), perturbation)
        for path in sorted(folder.glob("generator_*.keras"))
    ]


def _own_baseline(run: Path, config: TrainConfig) -> str | None:
    """The undefended twin: trained with --baseline, or by its own command."""
    twin = presets.baseline_of(config)
    nearby = run.parent / directory.default_run_directory(twin).name
    for folder in (RunDirectory(run).baseline, nearby):
        found = RunDirectory(folder)
        if (
            folder != run
            and found.config.is_file()
            and found.classifier("best").is_file()
            and _is_same_network(load_run_config(folder), twin)
        ):
            return str(folder)
    return None


def _is_same_network(one: TrainConfig, other: TrainConfig) -> bool:
    return (one.classifier, one.network_settings) == (
        other.classifier,
        other.network_settings,
    )


def _load_alike(
    name: str, path: str | None, classifier: Classifier
) -> Classifier | None:
    """Loads a run or a model, which must take and know what another does."""
    if path is None:
        return None
    if RunDirectory(Path(path)).config.is_file():
        found = load_classifier(run_dir=path)
    else:
        found = load_classifier(model=path)
    ours = (*classifier.image_shape, classifier.num_classes)
    theirs = (*found.image_shape, found.num_classes)
    if ours != theirs:
        raise UsageError(
            f"`{name}` must take the same images and know the same classes: "
            f"{ours}. Received: {theirs} of {path}."
        )
    return found
