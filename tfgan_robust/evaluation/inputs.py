"""What is measured: the networks of an evaluation, and its images."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tfgan_robust
from tfgan_robust import identity
from tfgan_robust.attacks.engine.execution import GRADIENT_PRECISIONS
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.images import check_images
from tfgan_robust.data.loading import load_test
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.networks import EvaluationNetworks, load_networks
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.radii import L2_EPS
from tfgan_robust.identity import Identity
from tfgan_robust.runs.images import (
    changed_images,
    identities,
    training_images,
)
from tfgan_robust.runs.stored import load_run_config, stored_dataset


class Inputs(NamedTuple):
    """What is measured, and on which images.

    Attributes:
        options: As they were given.
        networks: The classifier, and those that it meets.
        dataset: A name in the registry.
        data_dir: Where the images are, for data sets that have one.
        info: Of the images.
        split: All images, of which a part may be measured.
    """

    options: EvaluateSettings
    networks: EvaluationNetworks
    dataset: str
    data_dir: str | None
    info: DatasetInfo
    split: Split

    @property
    def measured(self) -> Split:
        """The part of the images that is measured."""
        if self.options.part is None:
            return self.split
        part = self.options.part.images(len(self.split.labels))
        return Split(*(each[part] for each in self.split))

    @property
    def radii(self) -> Sequence[float]:
        """Those that were asked for, or the usual ones."""
        if self.options.radii is not None:
            return self.options.radii
        if self.options.norm == "l2":
            return L2_EPS
        return DATASETS[self.dataset].eps

    @property
    def draw(self) -> str:
        """Which images of the split these are."""
        part, count = self.options.part, len(self.split.labels)
        order = "a fixed order, stratified by class"
        if self.options.split == "test" and DATASETS[self.dataset].mixed:
            order = "its own order"
        draw = f"the first {count} of {order}"
        if part is None:
            return draw
        images = part.images(count)
        return (
            f"part {part}, images {images.start + 1} to {images.stop} of {draw}"
        )

    @property
    def identity(self) -> Identity:
        """All that a verdict depends on but the attacks."""
        options, names = self.options, self.info.class_names
        belongs_to = {
            **of_classifier(self.networks.classifier),
            **identity.of_images(*self.split, names),
            "norm": options.norm,
            **dataclasses.asdict(options.execution),
            "version": tfgan_robust.__version__,
        }
        if options.gradient_precision != GRADIENT_PRECISIONS[0]:
            # Evaluations before there was a choice do not name it.
            belongs_to["gradient precision"] = options.gradient_precision
        if options.part is None:
            return belongs_to
        own = identity.of_images(*self.measured, names)
        return options.part.identify(belongs_to, own)


def load_inputs(options: EvaluateSettings) -> Inputs:
    """Loads networks and images; a run brings the settings of its own.

    Raises:
        UsageError: if a model or images do not fit.
        DataNotFoundError: if the data set is not there.
    """
    networks, config = load_networks(options, _asking_for_images(options)), None
    stored: Mapping[str, Any] = {}
    if options.run_dir is not None:
        config = load_run_config(options.run_dir)
        stored = stored_dataset(options.run_dir)
    trained = options if config is None else config
    dataset = str(options.images_of if config is None else config.dataset)
    names = networks.classifier.class_names
    data_dir = options.data_dir or trained.data_dir
    if config is None or options.split == "test":
        info, split = load_test(
            dataset,
            data_dir=data_dir,
            image_size=trained.image_size,
            class_names=names,
        )
    else:
        info, *parts = training_images(
            config, data_dir=data_dir, class_names=names
        )
        here = identities(info, *parts)
        _check_same_images(options.run_dir, stored.get("identity"), here)
        split = parts[options.split == "validation"]
    if names is None and networks.classifier.num_classes != info.num_classes:
        raise UsageError(
            f"The model knows {networks.classifier.num_classes} classes, and "
            "their names are not known; give data of as many. Received: "
            f"{info.num_classes} classes in {info.source}."
        )
    info = dataclasses.replace(info, notes=_notes(info, stored))
    first = Split(*(part[: options.num_images] for part in split))
    # Before anything is written.
    check_images(*first, networks.classifier)
    networks = networks.fed_as_made(*first, options.batch_size)
    return Inputs(options, networks, dataset, data_dir, info, first)


def _notes(info: DatasetInfo, stored: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader must know of these images, and of those of training."""
    notes = [*info.notes]
    # Such as copies of test images among the training images.
    notes += [f"in training, {note}" for note in stored.get("notes") or ()]
    source = stored.get("source", info.source)
    if source != info.source:
        notes.append(f"trained on {source}, measured on {info.source}")
    return tuple(dict.fromkeys(notes))


def _check_same_images(
    run: str | None, there: Mapping[str, Any] | None, here: Mapping[str, Any]
) -> None:
    """Refuses images that a run did not train on, or did not hold out.

    Raises:
        UsageError: saying what differs.
    """
    changed = changed_images(there, here) if there else []
    if changed:
        raise UsageError(
            f"These are not the images that {run} was trained with: different "
            f"are {', '.join(changed)}. Give the `data_dir` that it had, or "
            "`split=test`; earlier versions held out other images for each "
            "seed."
        )


def _asking_for_images(
    options: EvaluateSettings,
) -> Callable[[], tuple[int, int, int]]:
    """Returns a function to the shape of the images of a model's data set."""

    def image_shape() -> tuple[int, int, int]:
        info, _ = load_test(
            str(options.images_of),
            data_dir=options.data_dir,
            image_size=options.image_size,
        )
        return info.image_shape

    return image_shape


def of_classifier(classifier: Classifier) -> Identity:
    """Returns what the identity of an evaluation says of its classifier."""
    return {f"the classifier's {k}": v for k, v in classifier.identity.items()}
