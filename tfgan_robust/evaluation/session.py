"""One evaluation from settings to files: measure, audit, report."""

import dataclasses
import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfgan_robust import identity
from tfgan_robust.errors import TfganRobustError, UsageError, in_one_line
from tfgan_robust.evaluation.auditing import audit
from tfgan_robust.evaluation.inputs import Inputs, load_inputs
from tfgan_robust.evaluation.measure import (
    MeasuredEvaluation,
    Progress,
    evaluate_classifier,
)
from tfgan_robust.evaluation.merging import Parts
from tfgan_robust.evaluation.options import NONE, EvaluateSettings
from tfgan_robust.evaluation.part import write_settings
from tfgan_robust.evaluation.store import EvaluationStore, locked
from tfgan_robust.identity import Identity
from tfgan_robust.networks.devices import describe_devices, grow_memory
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.progress import evaluation_progress, say
from tfgan_robust.runs import stored
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.training.records import MetricsFile
from tfgan_robust.training.tensorboard_files import write_results

# More are nobody's, and no event file holds them.
_LAST_STEP = 10**15
# From a title, and images times stages, to what is told of each.
Shown = Callable[[str, int], AbstractContextManager[Progress]]


def evaluate(
    options: EvaluateSettings,
    *,
    replaceable: bool = False,
    parts: Parts | None = None,
    progress: Shown | None = None,
) -> MeasuredEvaluation:
    """Measures, audits and writes the files of `evaluation.store`.

    A part of the images is not audited: a verdict on the network is due once.
    Nor is the accuracy on clean images alone, which an audit says nothing of.

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
    grow_memory()
    if options.part is not None or not options.plans:
        options = dataclasses.replace(options, audit=False, undefended=NONE)
    inputs = load_inputs(options)
    with ExitStack() as held:
        store = _open_store(inputs, held, replaceable=replaceable, parts=parts)
        if options.part is not None:
            write_settings(asked)
        try:
            evaluation = _measure(inputs, store, progress)
            if parts is not None:
                evaluation.jit_compile = parts.jit_compile
            if options.audit:
                evaluation.audit = audit(inputs, evaluation, store)
        except BaseException:
            # The page shows what results.json has by now.
            store.write_page()
            raise
        store.write(evaluation, *inputs.measured)
        store.write_page()
        # Neither a part nor what was printed only is what the run achieves.
        if options.part is None and store.is_written:
            _show_in_tensorboard(options, evaluation)
    return evaluation


def _open_store(
    inputs: Inputs,
    held: ExitStack,
    *,
    replaceable: bool,
    parts: Parts | None,
) -> EvaluationStore:
    """Opens the folder of an evaluation, which others leave alone.

    Until `held` is closed.
    """
    options, belongs_to = inputs.options, inputs.identity
    if parts is not None:
        _check_parts(parts, belongs_to)
    conditions = {
        **_conditions(inputs),
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
        _check_complete(inputs, opened)
    return opened


def _conditions(inputs: Inputs) -> dict[str, Any]:
    """Returns which network is measured on which images, when and where."""
    options = inputs.options
    return {
        "checkpoint": options.checkpoint if options.run_dir else None,
        "dataset": {
            "name": inputs.dataset,
            "source": inputs.info.source,
            "split": options.split,
            "classes": list(inputs.info.class_names),
            "draw": inputs.draw,
        },
        "date": datetime.date.today().isoformat(),
        "device": describe_devices(),
        "versions": stored.versions(),
    }


def _check_parts(parts: Parts, belongs_to: Identity) -> None:
    other = identity.differences(parts.identity, belongs_to)
    if other:
        raise UsageError(
            f"The parts in {parts.folder} are of something else than is here: "
            f"different are {', '.join(other)}. Give the classifier, the data "
            "and the version that they are of."
        )


def _check_complete(inputs: Inputs, store: EvaluationStore) -> None:
    """Refuses to measure what is missing where parts are put together."""
    options = inputs.options
    for plan in inputs.networks.plans(options.plans):
        for radius in inputs.radii:
            if store.load(plan, radius) is None:
                raise UsageError(
                    f"The parts in {options.folder} do not hold {plan.name} "
                    f"at {format_eps(radius)} as it is set here. Give the "
                    "surrogate, the generators and the attacks that they "
                    "were measured with."
                )


def _measure(
    inputs: Inputs, store: EvaluationStore, progress: Shown | None
) -> MeasuredEvaluation:
    options, networks, radii = inputs.options, inputs.networks, inputs.radii
    plans = networks.plans(options.plans)
    stages = len(radii) * sum(len(plan.stages) for plan in plans)
    total = len(inputs.measured.labels) * (1 + stages)
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
    try:
        write_results(run.logs, evaluation, _last_step(run))
    # What was measured stands, whoever may write where the run is.
    except (OSError, tf.errors.OpError) as error:
        say(
            f"NOTE: {run.logs} cannot be written ({in_one_line(error)}); "
            "TensorBoard does not show what was measured"
        )


def _last_step(run: RunDirectory) -> int:
    """Returns the step to which a run came; 0, with a NOTE, if it is lost."""
    epochs = stored.load_run_config(run.path).epochs
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
