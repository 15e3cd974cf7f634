"""Command line of the evaluation: `python -m tfgan_robust.evaluate`."""

import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfgan_robust.attacks.plan import is_usual
from tfgan_robust.cli import command, signals
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.options import (
    EvaluateSettings,
    parse_eps,
    parse_plans,
)
from tfgan_robust.lazy import load
from tfgan_robust.reports.verdicts import format_audit
from tfgan_robust.runs import directory

if TYPE_CHECKING:
    from tfgan_robust.data.splits import Split
    from tfgan_robust.evaluation.networks import Contestants
    from tfgan_robust.evaluation.store import EvaluationStore
    from tfgan_robust.reports.results import Evaluation
    from tfgan_robust.reports.verdicts import Check

USAGE = """
Measures a classifier's accuracy on clean and on attacked images.

  python -m tfgan_robust.evaluate --run_dir=runs/cifar10-grad_x-0
  python -m tfgan_robust.evaluate --run_dir=R --attacks=autoattack --eps=8
  python -m tfgan_robust.evaluate --model=classifier.keras --dataset=cifar10
"""

# Euclidean radii of reports.
_L2_EPS = (0.25, 0.5, 1.0)


def evaluate(options: EvaluateSettings) -> "Evaluation":
    """Measures, audits and writes the files of `evaluation_store`.

    Returns:
        The accuracies; what was measured before an interruption is on disk.

    Raises:
        UsageError: for bad settings, a bad model or images that do not fit.
        DataNotFoundError: if the data set is not there.
    """
    planned = parse_plans(options)
    folder = _output_folder(options)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"`output` must be a folder. Received: {folder}.")
    if options.run_dir is not None:
        directory.load_run_config(options.run_dir)
    for path in (options.model, options.transfer_from, options.undefended):
        if path is not None and not Path(path).exists():
            raise UsageError(f"There is no model at {path}.")
    load("tensorflow")
    from tfgan_robust.evaluation import networks as loading
    from tfgan_robust.evaluation.measure import evaluate_classifier
    from tfgan_robust.reports.progress import EvaluationProgress

    networks = loading.load(
        run_dir=options.run_dir,
        checkpoint=options.checkpoint,
        model=options.model,
        outputs=options.outputs,
        transfer_from=options.transfer_from,
        undefended=options.undefended,
    )
    dataset, split, radii = _images(options)
    store = _store(options, networks, dataset, split)
    stages = sum(len(plan.stages) for plan in planned)
    if networks.surrogate is not None:
        stages *= 2
    total = len(split.labels) * (1 + stages * len(radii))
    with EvaluationProgress(networks.classifier.description, total) as progress:
        try:
            evaluation = evaluate_classifier(
                networks.classifier,
                *split,
                attacks=planned,
                eps=radii,
                batch_size=options.batch_size,
                seed=options.seed,
                jit_compile=options.jit_compile,
                surrogate=networks.surrogate,
                generators=networks.generators,
                allow_random=options.allow_random,
                progress=progress,
                store=store,
            )
        except KeyboardInterrupt:
            _report(store)
            raise
    if options.audit:
        evaluation.audit = _audit(options, networks, split, evaluation, store)
    if store is not None:
        store.write(evaluation, *split)
    _report(store)
    return evaluation


def print_table(evaluations: "dict[str, Evaluation]") -> None:
    """Prints evaluations side by side, how they were measured, and audits."""
    from tfgan_robust.reports import tables

    print(tables.format_report(evaluations))


def main() -> None:
    """Runs the command line."""
    command.main(EvaluateSettings, _run, usage=USAGE)


def _run(given: dict[str, Any]) -> int:
    options = EvaluateSettings(**given)
    folder = _output_folder(options)
    try:
        with signals.raising_on_sigterm():
            evaluation = evaluate(options)
    except KeyboardInterrupt:
        if folder is not None:
            print(
                f"What was measured is kept in {folder}; the same command "
                "goes on from there.",
                file=sys.stderr,
            )
        raise
    print_table({evaluation.classifier: evaluation})
    if evaluation.audit is not None:
        # Its first line is in the table's.
        print(*format_audit(evaluation.audit).splitlines()[1:], sep="\n")
    if folder is not None:
        print(f"written to {folder / 'results.json'} and evaluation.md")
    return 0


def _audit(
    options: EvaluateSettings,
    networks: "Contestants",
    split: "Split",
    evaluation: "Evaluation",
    store: "EvaluationStore | None",
) -> "list[Check]":
    """Audits at the middle one of the radii, in the L-infinity ball."""
    from tfgan_robust.audit.audit import audit_classifier
    from tfgan_robust.reports.progress import audit_progress

    radii = sorted(row.eps for row in evaluation.pointwise)
    if evaluation.norm != "linf":
        radii = sorted(DATASETS[_dataset_name(options)].eps)
    eps = radii[len(radii) // 2]
    undefended = networks.undefended
    name = undefended.description if undefended else None
    key = f"eps={eps:g} images={options.audit_images} undefended={name}"
    checks = store.load_audit(key) if store is not None else None
    if checks is not None:
        return checks
    # Those that the audit would run itself, as it would run them.
    usual = {plan.name for plan in parse_plans(options) if is_usual(plan)}
    known = {
        attack: mask
        for (attack, radius), mask in evaluation.masks.items()
        if radius == eps and attack in usual
    }
    with audit_progress() as progress:
        checks = audit_classifier(
            networks.classifier,
            *split,
            eps=eps,
            robust=known,
            undefended=undefended,
            seed=options.seed,
            batch_size=options.batch_size,
            jit_compile=options.jit_compile,
            num_images=options.audit_images,
            progress=progress,
        )
    if store is not None:
        store.save_audit(key, checks)
    return checks


def _dataset_name(options: EvaluateSettings) -> str:
    if options.run_dir is None:
        return str(options.dataset)
    return directory.load_run_config(options.run_dir).dataset


def _images(
    options: EvaluateSettings,
) -> "tuple[dict[str, Any], Split, tuple[float, ...]]":
    """Returns a description of the images, the images, and the radii."""
    from tfgan_robust.data.loading import load_test, load_training
    from tfgan_robust.data.splits import Split

    if options.run_dir is None:
        name = str(options.dataset)
        info, split = load_test(
            name, data_dir=options.data_dir, image_size=options.image_size
        )
    else:
        trained = directory.load_run_config(options.run_dir)
        name, where = trained.dataset, options.data_dir or trained.data_dir
        if options.split == "test":
            info, split = load_test(
                name, data_dir=where, image_size=trained.image_size
            )
        else:
            info, _, split = load_training(
                name,
                data_dir=where,
                image_size=trained.image_size,
                validation_images=trained.validation_images,
                seed=trained.seed,
            )
    split = Split(*(part[: options.num_images] for part in split))
    radii = DATASETS[name].eps if options.norm == "linf" else _L2_EPS
    if options.eps is not None:
        radii = parse_eps(options.eps, options.norm)
    described = {
        "name": name,
        "source": info.source,
        "split": options.split,
        "classes": list(info.class_names),
    }
    return described, split, radii


def _output_folder(options: EvaluateSettings) -> Path | None:
    folder = options.output or options.run_dir
    return None if folder is None else Path(folder)


def _report(store: "EvaluationStore | None") -> None:
    if store is not None and store.path.exists():
        # Loads the plotting library.
        from tfgan_robust.reports.page import write_report

        write_report(store.path.parent)


def _store(
    options: EvaluateSettings,
    networks: "Contestants",
    dataset: dict[str, Any],
    split: "Split",
) -> "EvaluationStore | None":
    folder = _output_folder(options)
    if folder is None:
        return None
    from tfgan_robust.evaluation.store import EvaluationStore, fingerprint
    from tfgan_robust.training import devices

    others = [networks.surrogate] if networks.surrogate else []
    return EvaluationStore(
        folder,
        {
            "checkpoint": options.checkpoint if options.run_dir else None,
            "dataset": dataset,
            "date": datetime.date.today().isoformat(),
            "device": devices.describe(),
            "versions": directory.versions(),
        },
        fingerprint(
            [networks.classifier, *others],
            *split,
            {
                "seed": options.seed,
                "batch_size": options.batch_size,
                "jit_compile": options.jit_compile,
            },
        ),
        fresh=options.fresh,
    )


if __name__ == "__main__":
    main()
