"""One evaluation from settings to files: measure, audit, report."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tfgan_robust
from tfgan_robust import identity
from tfgan_robust.attacks.engine.execution import GRADIENT_PRECISIONS
from tfgan_robust.attacks.plan import is_usual
from tfgan_robust.audit.audit import audit_classifier
from tfgan_robust.audit.checks import CHECKS
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.images import check_images
from tfgan_robust.data.loading import load_test
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import DatasetInfo, Split
from tfgan_robust.errors import TfganRobustError, UsageError, in_one_line
from tfgan_robust.evaluation.measure import (
    MeasuredEvaluation,
    Progress,
    evaluate_classifier,
)
from tfgan_robust.evaluation.merging import Parts, write_settings
from tfgan_robust.evaluation.networks import EvaluationNetworks, load_networks
from tfgan_robust.evaluation.options import AUTO, NONE, EvaluateSettings
from tfgan_robust.evaluation.radii import L2_EPS
from tfgan_robust.evaluation.store import EvaluationStore, locked
from tfgan_robust.evaluation.undefended import train_undefended
from tfgan_robust.identity import Identity
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.reports.breakdown import middle_eps
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.progress import (
    audit_progress,
    evaluation_progress,
    say,
)
from tfgan_robust.reports.results import correct_within
from tfgan_robust.reports.verdicts import Check
from tfgan_robust.runs import directory
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.images import training_images
from tfgan_robust.training.records import MetricsFile
from tfgan_robust.training.tensorboard_files import write_results

# More are nobody's, and no event file holds them.
_LAST_STEP = 10**15
# From a title, and images times stages, to what is told of each.
Shown = Callable[[str, int], AbstractContextManager[Progress]]


class _Inputs(NamedTuple):
    """What is measured, and on which images."""

    networks: EvaluationNetworks
    dataset: str
    data_dir: str | None
    info: DatasetInfo
    split: Split


def evaluate(
    options: EvaluateSettings,
    *,
    replaceable: bool = False,
    parts: Parts | None = None,
    progress: Shown | None = None,
) -> MeasuredEvaluation:
    """Measures, audits and writes the files of `evaluation.store`.

    A part of the images is not audited: a verdict on the network is due once.

    Args:
        options: What to measure, on which images, and how.
        replaceable: Whether an evaluation of something else may take the
            place of this one in the folder. Such a one is not written where
            one is that may not be replaced.
        parts: What other processes measured of all this; nothing is measured
            then, and what they say is audited and written.
        progress: Stands for `reports.progress.evaluation_progress`.

    Returns:
        The accuracies; what was measured before an interruption is on disk.

    Raises:
        UsageError: for bad settings, a bad model, images that do not fit, or
            a folder that holds an evaluation of something else, or that
            another process measures into, or parts that are of something
            else.
        DataNotFoundError: if the data set is not there.
    """
    asked = options
    if options.part is not None:
        options = dataclasses.replace(options, audit=False, undefended=NONE)
    inputs = _load(options)
    with ExitStack() as held:
        store = _open_store(
            options, inputs, held, replaceable=replaceable, parts=parts
        )
        if options.part is not None:
            write_settings(asked)
        try:
            evaluation = _measure(options, inputs, store, progress)
        except KeyboardInterrupt:
            store.write_page()
            raise
        if parts is not None:
            evaluation.jit_compile = parts.jit_compile
        if options.audit:
            evaluation.audit = _audit(options, inputs, evaluation, store)
        store.write(evaluation, *_measured(options, inputs))
        store.write_page()
        # Neither a part nor what was printed only is what the run achieves.
        if options.part is None and store.is_written:
            _show_in_tensorboard(options, evaluation)
    return evaluation


def _show_in_tensorboard(
    options: EvaluateSettings, evaluation: MeasuredEvaluation
) -> None:
    """Puts what a run achieves beside what TensorBoard shows of it.

    That is its best classifier's figures on test images.
    """
    if options.run_dir is None or options.split != "test":
        return
    run = RunDirectory(Path(options.run_dir))
    if options.checkpoint != "best" or not run.logs.is_dir():
        return
    write_results(run.logs, evaluation, _last_step(run))


def _last_step(run: RunDirectory) -> int:
    """Returns the step to which a run came; 0, with a NOTE, if it is lost."""
    epochs = directory.load_run_config(run.path).epochs
    try:
        rows = MetricsFile(run.metrics, epochs).rows
        step = int(rows[-1]["step"]) if rows else 0
        if 0 <= step <= _LAST_STEP:
            return step
        reason = f"step {step}"
    # What was measured stands, whatever became of the training's figures.
    except (KeyError, OverflowError, TfganRobustError, ValueError) as error:
        reason = in_one_line(error)
    say(
        f"NOTE: {run.metrics} is damaged ({reason}); TensorBoard has what was "
        "measured at step 0"
    )
    return 0


def _load(options: EvaluateSettings) -> _Inputs:
    """Loads networks and images; a run brings the settings of its own."""
    networks, config = load_networks(options, _asking_for_images(options)), None
    learnt: Sequence[str] = ()
    if options.run_dir is not None:
        config = directory.load_run_config(options.run_dir)
        learnt = directory.stored_dataset(options.run_dir).get("notes") or ()
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
        split = parts[options.split == "validation"]
    if names is None and networks.classifier.num_classes != info.num_classes:
        raise UsageError(
            f"The model knows {networks.classifier.num_classes} classes, and "
            "their names are not known; give data of as many. Received: "
            f"{info.num_classes} classes in {info.source}."
        )
    # Such as copies of test images among the training images.
    notes = dict.fromkeys((*info.notes, *(f"in training, {n}" for n in learnt)))
    info = dataclasses.replace(info, notes=tuple(notes))
    first = Split(*(part[: options.num_images] for part in split))
    # Before anything is written.
    check_images(*first, networks.classifier)
    networks = networks.fed_as_made(*first, options.batch_size)
    return _Inputs(networks, dataset, data_dir, info, first)


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


def _measured(options: EvaluateSettings, inputs: _Inputs) -> Split:
    """Returns the part of the images that is measured."""
    if options.part is None:
        return inputs.split
    part = options.part.images(len(inputs.split.labels))
    return Split(*(each[part] for each in inputs.split))


def _belongs_to(options: EvaluateSettings, inputs: _Inputs) -> Identity:
    """Returns all that a verdict depends on but the attacks."""
    classifier, names = inputs.networks.classifier, inputs.info.class_names
    belongs_to = {
        **of_classifier(classifier),
        **identity.of_images(*inputs.split, names),
        "norm": options.norm,
        **dataclasses.asdict(options.execution),
        "version": tfgan_robust.__version__,
    }
    if options.gradient_precision != GRADIENT_PRECISIONS[0]:
        # Evaluations before there was a choice do not name it.
        belongs_to["gradient precision"] = options.gradient_precision
    if options.part is None:
        return belongs_to
    own = identity.of_images(*_measured(options, inputs), names)
    return options.part.identify(belongs_to, own)


def of_classifier(classifier: Classifier) -> Identity:
    """Returns what the identity of an evaluation says of its classifier."""
    return {f"the classifier's {k}": v for k, v in classifier.identity.items()}


def _open_store(
    options: EvaluateSettings,
    inputs: _Inputs,
    held: ExitStack,
    *,
    replaceable: bool,
    parts: Parts | None,
) -> EvaluationStore:
    """Opens the folder of an evaluation, which others leave alone.

    Until `held` is closed.
    """
    belongs_to = _belongs_to(options, inputs)
    if parts is not None:
        _check_parts(parts, belongs_to)
    conditions = {
        "checkpoint": options.checkpoint if options.run_dir else None,
        "dataset": {
            "name": inputs.dataset,
            "source": inputs.info.source,
            "split": options.split,
            "classes": list(inputs.info.class_names),
            "draw": _draw(options, inputs),
        },
        "date": datetime.date.today().isoformat(),
        "device": describe_devices(),
        "versions": directory.versions(),
        "replaceable": replaceable,
        **(parts.conditions if parts is not None else {}),
    }

    def store(folder: Path | None) -> EvaluationStore:
        if folder is not None:
            held.enter_context(locked(folder))
        return EvaluationStore(
            folder,
            conditions,
            belongs_to,
            guides=inputs.networks.guides,
            overwrite=options.overwrite,
            known=None if parts is None else parts.kept,
        )

    try:
        opened = store(options.folder)
    except UsageError as error:
        if not replaceable:
            raise
        print(f"Printed only, not written: {error}")
        return store(None)
    if replaceable and not opened.is_written:
        print(
            f"Printed only, not written: {options.folder} holds an evaluation "
            "that somebody asked for."
        )
    if parts is not None:
        _check_complete(options, inputs, opened)
    return opened


def _check_parts(parts: Parts, belongs_to: Identity) -> None:
    other = identity.differences(parts.identity, belongs_to)
    if other:
        raise UsageError(
            f"The parts in {parts.folder} are of something else than is here: "
            f"different are {', '.join(other)}. Give the classifier, the data "
            "and the version that they are of."
        )


def _check_complete(
    options: EvaluateSettings, inputs: _Inputs, store: EvaluationStore
) -> None:
    """Refuses to measure what is missing where parts are put together."""
    for plan in inputs.networks.plans(options.plans):
        for radius in _radii(options, inputs):
            if store.load(plan, radius) is None:
                raise UsageError(
                    f"The parts in {options.folder} do not hold {plan.name} "
                    f"at {format_eps(radius)} as it is set here. Give the "
                    "surrogate, the generators and the attacks that they "
                    "were measured with."
                )


def _draw(options: EvaluateSettings, inputs: _Inputs) -> str:
    """Says which images of the split these are."""
    mixed = options.split == "test" and DATASETS[inputs.dataset].mixed
    order = "its own order" if mixed else "a fixed order, stratified by class"
    draw = f"the first {len(inputs.split.labels)} of {order}"
    if options.part is None:
        return draw
    part = options.part.images(len(inputs.split.labels))
    return (
        f"part {options.part}, images {part.start + 1} to {part.stop} of {draw}"
    )


def _radii(options: EvaluateSettings, inputs: _Inputs) -> Sequence[float]:
    if options.radii is not None:
        return options.radii
    return L2_EPS if options.norm == "l2" else DATASETS[inputs.dataset].eps


def _measure(
    options: EvaluateSettings,
    inputs: _Inputs,
    store: EvaluationStore,
    progress: Shown | None,
) -> MeasuredEvaluation:
    networks, radii = inputs.networks, _radii(options, inputs)
    plans = networks.plans(options.plans)
    stages = len(radii) * sum(len(plan.stages) for plan in plans)
    total = len(_measured(options, inputs).labels) * (1 + stages)
    shown = progress or evaluation_progress
    with shown(networks.classifier.description, total) as told:
        return evaluate_classifier(
            networks.classifier,
            *inputs.split,
            attacks=options.plans,
            eps=radii,
            surrogate=networks.surrogate,
            generators=networks.generators,
            gradient_precision=options.gradient_precision,
            allow_random=options.allow_random,
            shard=options.part,
            notes=[*inputs.info.notes, *inputs.networks.reference_notes],
            progress=told,
            store=store,
            **dataclasses.asdict(options.execution),
        )


def _trained(options: EvaluateSettings, inputs: _Inputs) -> Classifier | None:
    """Trains an undefended network, if one would fit the classifier."""
    audited, info = inputs.networks.classifier, inputs.info
    if audited.shapes != (*info.image_shape, info.num_classes):
        return None
    return train_undefended(
        inputs.dataset, info, data_dir=inputs.data_dir, folder=options.folder
    )


def _audit(
    options: EvaluateSettings,
    inputs: _Inputs,
    evaluation: MeasuredEvaluation,
    store: EvaluationStore,
) -> list[Check]:
    """Audits at the middle one of the radii, in the L-infinity ball."""
    if evaluation.norm == "linf":
        eps = middle_eps(evaluation)
    else:
        radii = sorted(DATASETS[inputs.dataset].eps)
        eps = radii[len(radii) // 2]
    undefended = inputs.networks.undefended
    if undefended is None and options.undefended == AUTO:
        undefended = _trained(options, inputs)
    surrogate = inputs.networks.surrogate
    correct = _as_the_audit_would(options, evaluation, eps)
    reported = _reported(evaluation, eps)
    masks = correct if reported is None else {**correct, "": reported}
    others = [
        identity.of_settings(other and other.identity)
        for other in (undefended, surrogate)
    ]
    key = (
        f"eps={eps:g} images={options.audit_images} undefended={others[0]} "
        f"surrogate={others[1]} measured={identity.of_arrays(masks)} "
        f"checks={','.join(CHECKS)}"
    )
    known = store.load_audit(key)
    if known is not None:
        return known
    with audit_progress() as progress:
        checks = audit_classifier(
            inputs.networks.classifier,
            *inputs.split,
            eps=eps,
            correct=correct,
            reported=reported,
            undefended=undefended,
            surrogates=[] if surrogate is None else [surrogate],
            num_images=options.audit_images,
            progress=progress,
            **dataclasses.asdict(options.execution),
        )
    store.save_audit(key, checks)
    return checks


def _as_the_audit_would(
    options: EvaluateSettings, evaluation: MeasuredEvaluation, eps: float
) -> dict[str, np.ndarray]:
    """Returns the masks of attacks that are set as an audit would set them."""
    if options.gradient_precision != GRADIENT_PRECISIONS[0]:
        return {}
    usual = {plan.name for plan in options.plans if is_usual(plan)}
    return {
        attack: mask
        for (attack, radius), mask in evaluation.masks.items()
        if radius == eps and attack in usual
    }


def _reported(evaluation: MeasuredEvaluation, eps: float) -> np.ndarray | None:
    """Returns the mask of the worst case at a radius, if there is one."""
    if evaluation.norm != "linf" or len(evaluation.masks) < 2:
        return None
    # As in the table: what fools at a smaller radius counts, too.
    return correct_within(evaluation.masks, eps)
