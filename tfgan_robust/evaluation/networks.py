"""The networks of an evaluation: the attacked classifier, and others."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from tfgan_robust.attacks.generators import LearnedStep, Perturbation
from tfgan_robust.attacks.plan import (
    AttackPlan,
    for_classes,
    parse_attack,
    transferred,
)
from tfgan_robust.attacks.table import that_take
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.fitting import ImageShape
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.classifiers.ranges import as_made
from tfgan_robust.errors import UsageError, in_one_line
from tfgan_robust.evaluation.options import AUTO, EvaluateSettings
from tfgan_robust.identity import Identity, of_network, structure_of
from tfgan_robust.lazy import load
from tfgan_robust.methods.generator_settings import (
    GeneratorNetworkSettings,
    LearnedStartSettings,
)
from tfgan_robust.networks.logits import to_float32
from tfgan_robust.runs import directory, presets
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.stored import load_run_config


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
    generators: Sequence[tuple[keras.Model, Perturbation | LearnedStep]] = ()

    @property
    def guides(self) -> dict[str, Identity]:
        """Identities of what attacks may follow besides the classifier."""
        found = {}
        if self.surrogate is not None:
            found["surrogate"] = self.surrogate.identity
        for number, (model, perturbation) in enumerate(self.generators):
            found.setdefault("generators", {})[str(number)] = {
                **of_network(
                    structure_of(model.get_config()),
                    (np.asarray(variable) for variable in model.weights),
                    np.zeros((0, 0)),
                ),
                "perturbation": dataclasses.asdict(perturbation),
            }
        return found

    def fed_as_made(
        self, images: np.ndarray, labels: np.ndarray, batch_size: int
    ) -> "EvaluationNetworks":
        """Returns networks that get the pixels which they were made for.

        Args:
            images: uint8 [n, height, width, channels].
            labels: Integer [n].
            batch_size: Images in a batch.

        Raises:
            UsageError: naming one that expects other pixels than [0, 1],
                where several ranges come into question.
        """

        def reference(network: Classifier | None) -> Classifier | None:
            return network and as_made(
                network,
                images,
                labels,
                batch_size=batch_size,
                name=network.description,
                # There is no flag for theirs.
                remedy="put a layer in front that makes them of [0, 1], and "
                "save the whole",
            )

        return dataclasses.replace(
            self,
            classifier=as_made(
                self.classifier, images, labels, batch_size=batch_size
            ),
            surrogate=reference(self.surrogate),
            undefended=reference(self.undefended),
        )

    @property
    def reference_notes(self) -> list[str]:
        """What a reader must know of those that the classifier is compared to.

        A line each.
        """
        return [
            f"{network.description}: {note}"
            for network in (self.surrogate, self.undefended)
            if network is not None
            for note in network.notes
        ]

    def plans(self, attacks: Iterable[str | AttackPlan]) -> list[AttackPlan]:
        """Returns all that is run, attacks with a surrogate's gradients too.

        Raises:
            UsageError: for an unknown attack, attacks that do not go
                together, or none that a surrogate's gradients can guide.
        """
        plans = [parse_attack(a) if isinstance(a, str) else a for a in attacks]
        if self.surrogate is not None:
            moved = list(filter(None, map(transferred, plans)))
            if not moved:
                raise UsageError(
                    f"Only {' and '.join(that_take('surrogate'))} can be "
                    "transferred. Received: "
                    f"{', '.join(plan.name for plan in plans)}."
                )
            plans += moved
        if len({plan.norm for plan in plans}) > 1:
            raise UsageError("All attacks of an evaluation share one norm.")
        names = [plan.name for plan in plans]
        if len(set(names)) < len(names):
            raise UsageError(
                f"Each attack can be given once. Received: {', '.join(names)}."
            )
        classes = self.classifier.num_classes
        return [for_classes(plan, classes) for plan in plans]


def load_networks(
    options: EvaluateSettings,
    image_shape: Callable[[], ImageShape] | None = None,
) -> EvaluationNetworks:
    """Loads the networks of an evaluation.

    Args:
        options: Which.
        image_shape: Returns height, width and channels of the images; asked
            if the classifier's file leaves them open.

    Raises:
        UsageError: if one cannot be loaded, or they differ in shape.
    """
    classifier = load_classifier(
        run_dir=options.run_dir,
        checkpoint=options.checkpoint,
        model=options.model,
        outputs=options.outputs,
        input_range=options.input_range,
        image_shape=image_shape,
    )
    undefended, generators = options.given_undefended, []
    if options.run_dir is not None:
        run = RunDirectory(Path(options.run_dir))
        config = load_run_config(run.path)
        if options.audit and options.undefended == AUTO:
            undefended = _own_baseline(run.path, config, classifier)
        if options.asks_for_generators and isinstance(
            config, GeneratorNetworkSettings
        ):
            generators = _load_generators(
                run, options.checkpoint, config, classifier
            )
    return EvaluationNetworks(
        classifier,
        _load_alike("transfer_from", options.transfer_from, classifier),
        _load_alike("undefended", undefended, classifier),
        generators,
    )


def _load_generators(
    run: RunDirectory,
    checkpoint: str,
    config: GeneratorNetworkSettings,
    classifier: Classifier,
) -> list[tuple[keras.Model, Perturbation | LearnedStep]]:
    """Loads all generators of a run.

    Raises:
        UsageError: if one is absent, damaged, or no generator.
    """
    found = []
    # Keras knows its classes only then.
    load(config.build_network)
    for number in range(config.num_networks):
        path = run.networks(checkpoint) / f"generator_{number}.keras"
        if not path.is_file():
            raise UsageError(
                f"{run.path} was trained with {config.num_networks} "
                f"generators, and {path.name} is not in {path.parent}. "
                "Restore it, or leave the attack `generators` out."
            )
        try:
            model = keras.models.load_model(path, compile=False)
        # A damaged file surfaces as almost anything.
        except Exception as error:
            raise UsageError(
                f"Cannot load {path}: {in_one_line(error)}. Restore it, or "
                "leave the attack `generators` out."
            ) from None
        if model.name != path.stem or (
            model.output_shape[1:] != classifier.image_shape
        ):
            raise UsageError(
                f"{path} holds another network, {model.name}. Restore it, or "
                "leave the attack `generators` out."
            )
        found.append((to_float32(model), _perturbation(config)))
    return found


def _perturbation(
    config: GeneratorNetworkSettings,
) -> Perturbation | LearnedStep:
    if isinstance(config, LearnedStartSettings):
        return LearnedStep.of(config)
    return Perturbation.of(config)


def _own_baseline(
    run: Path, config: TrainConfig, classifier: Classifier
) -> str | None:
    """The undefended twin: trained with --baseline, or by its own command."""
    twin = presets.baseline_of(config)
    nearby = run.parent / directory.default_run_directory(twin).name
    for folder in (RunDirectory(run).baseline, nearby):
        found = RunDirectory(folder)
        if (
            folder == run
            or not found.config.is_file()
            or not found.classifier("best").is_file()
        ):
            continue
        try:
            if _network(load_run_config(folder)) != _network(twin):
                continue
            other = load_classifier(run_dir=str(folder))
            if (other.shapes, other.class_names) == (
                classifier.shapes, classifier.class_names,
            ):  # fmt: skip
                return str(folder)
            print(
                f"NOTE: {folder} is not looked at: it has other images or "
                "other classes"
            )
        except UsageError as error:
            print(f"NOTE: {folder} is not looked at: {error}")
    return None


def _network(config: TrainConfig) -> tuple[object, ...]:
    return config.classifier, config.network_settings


def _load_alike(
    name: str, path: str | None, classifier: Classifier
) -> Classifier | None:
    """Loads a run or a model, which must take and know what another does."""
    if path is None:
        return None
    is_run = RunDirectory(Path(path)).config.is_file()
    found = load_classifier(
        run_dir=path if is_run else None,
        model=None if is_run else path,
        image_shape=classifier.image_shape,
    )
    if found.shapes != classifier.shapes:
        raise UsageError(
            f"`{name}` must take the same images and know the same classes: "
            f"{classifier.shapes}. Received: {found.shapes} of {path}."
        )
    return found
