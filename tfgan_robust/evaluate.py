"""Command line of the evaluation: `python -m tfgan_robust.evaluate`."""

import dataclasses
import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfgan_robust import (
    cli,
    config,
    presets,
    report,
    run_directory,
    settings,
    signals,
    startup,
)
from tfgan_robust.attack_plan import (
    KNOWN,
    NORMS,
    PROTOCOLS,
    AttackPlan,
    parse_attack,
)
from tfgan_robust.errors import UsageError
from tfgan_robust.settings import setting

if TYPE_CHECKING:
    from tfgan_robust.audit import Check
    from tfgan_robust.contestants import Contestants
    from tfgan_robust.data import Split
    from tfgan_robust.evaluation_store import EvaluationStore
    from tfgan_robust.results import Evaluation

USAGE = """
Measures a classifier's accuracy on clean and on attacked images.

  python -m tfgan_robust.evaluate --run_dir=runs/cifar10-grad_x-0
  python -m tfgan_robust.evaluate --run_dir=R --attacks=autoattack --eps=8
  python -m tfgan_robust.evaluate --model=classifier.keras --dataset=cifar10
"""

_WHAT, _ATTACKS, _IMAGES, _HOW = "Classifier", "Attacks", "Images", "Machine"
_AUDIT = "Audit"
# Euclidean radii of reports.
_L2_EPS = (0.25, 0.5, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What to measure, on which images, and how.

    Raises:
        UsageError: for a value out of its limits or contradictory values.
    """

    run_dir: str | None = setting(
        None, "Folder of a training run.", group=_WHAT
    )
    checkpoint: str = setting(
        "best",
        "Which classifier of the run.",
        group=_WHAT,
        choices=("best", "last"),
    )
    model: str | None = setting(
        None,
        "Instead of a run: a .keras file or the folder of a SavedModel, from "
        "images in [0, 1] to one value for each class.",
        group=_WHAT,
    )
    outputs: str = setting(
        "logits",
        "What --model answers with.",
        group=_WHAT,
        choices=("logits", "probabilities"),
    )
    allow_random: bool = setting(
        False,
        "Measure a classifier that answers differently each time.",
        group=_WHAT,
    )
    attacks: str = setting(
        "fgsm,pgd-100", f"Comma-separated: {KNOWN}.", group=_ATTACKS
    )
    eps: str | None = setting(
        None,
        "Comma-separated radii: whole numbers are 255ths, fractions (8/255) "
        "and decimals (0.1) are on the [0, 1] pixel scale. Default: 4,8,16; "
        "for digits 0.05,0.1,0.2; for norm=l2 0.25,0.5,1.0.",
        group=_ATTACKS,
    )
    norm: str = setting(
        "linf",
        "Of the ball; l2 for fgsm, pgd and noise.",
        group=_ATTACKS,
        choices=NORMS,
    )
    protocol: str = setting(
        "worst",
        "Whether the worst iterate of PGD decides, the clean image included, "
        "or the last alone, as in the paper.",
        group=_ATTACKS,
        choices=PROTOCOLS,
    )
    step_size: float | None = setting(
        None,
        "Step of PGD, in the units of eps. Default: 2.5 eps / steps.",
        group=_ATTACKS,
        above=0,
        maximum=1,
    )
    step_sizes: str | None = setting(
        None,
        "Comma-separated steps of PGD as multiples of eps (0.025,0.1,1): "
        "each is tried, and the weakest accuracy counts.",
        group=_ATTACKS,
    )
    restarts: int = setting(
        1, "Random restarts of PGD and APGD.", group=_ATTACKS, minimum=1
    )
    random_start: bool = setting(
        True,
        "Whether PGD begins at a random point of the ball.",
        group=_ATTACKS,
    )
    momentum: float = setting(
        0.0,
        "Share of the past gradients that PGD keeps.",
        group=_ATTACKS,
        minimum=0,
        maximum=1,
    )
    transfer_from: str | None = setting(
        None,
        "A run or a model whose gradients fgsm and pgd follow too, in rows "
        "of their own.",
        group=_ATTACKS,
    )
    audit: bool = setting(
        True,
        "Check afterwards whether the figures can be believed.",
        group=_AUDIT,
    )
    audit_images: int = setting(
        128, "First images on which to check.", group=_AUDIT, minimum=8
    )
    undefended: str | None = setting(
        None,
        "A run or a model of the same shape, trained without defence, which "
        "the attacks must break. Default: the run's baseline.",
        group=_AUDIT,
    )
    dataset: str | None = setting(
        None,
        "Data set for --model; a run brings its own.",
        group=_IMAGES,
        choices=config.DATASET_NAMES,
    )
    data_dir: str | None = setting(
        None,
        "Where the data lie, as in training; default: where the run had them.",
        group=_IMAGES,
    )
    image_size: int | None = setting(
        None,
        "Side to which images are resized, for --model.",
        group=_IMAGES,
        minimum=1,
    )
    split: str = setting(
        "test",
        "Test images, or those that a run held out for validation.",
        group=_IMAGES,
        choices=("test", "validation"),
    )
    num_images: int | None = setting(
        None,
        "Measure on the first so many images, or on all if there are fewer.",
        group=_IMAGES,
        minimum=1,
    )
    batch_size: int = setting(128, "Images in a batch.", group=_HOW, minimum=1)
    seed: int = setting(
        0, "Seed of the random starts.", group=_HOW, minimum=0,
        maximum=2**31 - 1,
    )  # fmt: skip
    jit_compile: str = setting(
        "auto",
        "XLA for the attacks; auto means on a GPU only.",
        group=_HOW,
        choices=("auto", "true", "false"),
    )
    output: str | None = setting(
        None,
        "Folder for results and report. Default: the run's.",
        group=_HOW,
    )
    fresh: bool = setting(
        False,
        "Measure again what an earlier call with the same settings measured.",
        group=_HOW,
    )

    def __post_init__(self) -> None:
        settings.check(self)
        if (self.run_dir is None) == (self.model is None):
            raise UsageError("Give either --run_dir or --model.")
        if self.model is not None and self.dataset is None:
            raise UsageError("--model needs --dataset, to know the images.")
        if self.model is not None and self.split == "validation":
            raise UsageError("Only a run has validation images.")
        for name in ("dataset", "image_size"):
            if self.run_dir is not None and getattr(self, name) is not None:
                raise UsageError(
                    f"`{name}` goes with --model; a run brings its own. "
                    f"Received: {name}={getattr(self, name)}."
                )
        if self.restarts > 1 and not self.random_start:
            raise UsageError(
                "Restarts without a random start repeat the same attack. "
                f"Received: restarts={self.restarts} with random_start=false."
            )
        if self.eps is not None:
            parse_eps(self.eps, self.norm)
        plans(self)


def parse_eps(text: str, norm: str = "linf") -> tuple[float, ...]:
    """Parses radii: "8" is 8/255, "8/255" and "0.03" are what they say.

    Raises:
        UsageError: for anything else, or a radius outside (0, 1], which for
            Euclidean radii has no upper end.
    """
    radii = []
    limit = 1.0 if norm == "linf" else float("inf")
    for part in text.split(","):
        try:
            whole = part.strip().isdecimal()
            radius = int(part) / 255 if whole else settings.parse_number(part)
        except ValueError:
            radius = float("nan")
        if not 0 < radius <= limit or radius == float("inf"):
            raise UsageError(
                "`eps` must list whole numbers of 255ths (8), or fractions "
                "(8/255) or decimals (0.1) in (0, 1]. "
                f"Received: {part.strip() or 'nothing'} in eps={text}."
            )
        radii.append(radius)
    return tuple(radii)


def plans(options: EvaluateSettings) -> list[AttackPlan]:
    """Returns the attacks of a command line.

    Raises:
        UsageError: for an unknown attack.
    """
    return [
        parse_attack(
            name.strip(),
            protocol=options.protocol,
            norm=options.norm,
            step_size=options.step_size,
            step_sizes=_step_sizes(options.step_sizes),
            random_start=options.random_start,
            num_restarts=options.restarts,
            momentum=options.momentum,
        )
        for name in options.attacks.split(",")
    ]


def evaluate(options: EvaluateSettings) -> "Evaluation":
    """Measures, audits and writes the files of `evaluation_store`.

    Returns:
        The accuracies; what was measured before an interruption is on disk.

    Raises:
        UsageError: for bad settings, a bad model or images that do not fit.
        DataNotFoundError: if the data set is not there.
    """
    planned = plans(options)
    folder = _output_folder(options)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"`output` must be a folder. Received: {folder}.")
    if options.run_dir is not None:
        run_directory.load_run_config(options.run_dir)
    for path in (options.model, options.transfer_from, options.undefended):
        if path is not None and not Path(path).exists():
            raise UsageError(f"There is no model at {path}.")
    startup.load_tensorflow()
    from tfgan_robust import contestants
    from tfgan_robust.evaluation import evaluate_classifier
    from tfgan_robust.monitoring import EvaluationProgress

    networks = contestants.load(
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
    if options.audit:
        evaluation.audit = _audit(options, networks, split, evaluation)
    if store is not None:
        store.write(evaluation, *split)
        report.write_report(store.path.parent)
    return evaluation


def print_table(evaluations: "dict[str, Evaluation]") -> None:
    """Prints evaluations side by side, how they were measured, and audits."""
    from tfgan_robust import tables

    print(tables.format_report(evaluations))


def main() -> None:
    """Runs the command line."""
    cli.main(EvaluateSettings, _run, usage=USAGE)


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
    if folder is not None:
        print(f"written to {folder / 'results.json'} and evaluation.md")
    return 0


def _audit(
    options: EvaluateSettings,
    networks: "Contestants",
    split: "Split",
    evaluation: "Evaluation",
) -> "list[Check]":
    """Audits at the middle one of the radii."""
    from tfgan_robust.audit import audit

    radii = sorted(row.eps for row in evaluation.pointwise)
    eps = radii[len(radii) // 2]
    known = {
        result.attack: evaluation.masks[result.attack, eps]
        for result in evaluation.results
        if result.eps == eps and result.protocol == "worst"
    }
    return audit(
        networks.classifier,
        *split,
        eps=eps,
        robust=known,
        undefended=networks.undefended,
        seed=options.seed,
        batch_size=options.batch_size,
        jit_compile=options.jit_compile,
        num_images=options.audit_images,
    )


def _step_sizes(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        ratios = tuple(settings.parse_number(part) for part in text.split(","))
    except ValueError:
        ratios = (float("nan"),)
    if not all(0 < ratio <= 10 for ratio in ratios):
        raise UsageError(
            "`step_sizes` must list multiples of eps in (0, 10], such as "
            f"0.025,0.1,1. Received: {text}."
        )
    return ratios


def _images(
    options: EvaluateSettings,
) -> "tuple[dict[str, Any], Split, tuple[float, ...]]":
    """Returns a description of the images, the images, and the radii."""
    from tfgan_robust import data

    if options.run_dir is None:
        name = str(options.dataset)
        info, split = data.load_test(
            name, data_dir=options.data_dir, image_size=options.image_size
        )
    else:
        trained = run_directory.load_run_config(options.run_dir)
        name, where = trained.dataset, options.data_dir or trained.data_dir
        if options.split == "test":
            info, split = data.load_test(
                name, data_dir=where, image_size=trained.image_size
            )
        else:
            info, _, split = data.load_training(
                name,
                data_dir=where,
                image_size=trained.image_size,
                validation_images=trained.validation_images,
                seed=trained.seed,
            )
    split = data.Split(*(part[: options.num_images] for part in split))
    radii = presets.REPORT_EPS[name] if options.norm == "linf" else _L2_EPS
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


def _store(
    options: EvaluateSettings,
    networks: "Contestants",
    dataset: dict[str, Any],
    split: "Split",
) -> "EvaluationStore | None":
    folder = _output_folder(options)
    if folder is None:
        return None
    from tfgan_robust import devices
    from tfgan_robust.evaluation_store import EvaluationStore, fingerprint

    others = [networks.surrogate] if networks.surrogate else []
    return EvaluationStore(
        folder,
        {
            "checkpoint": options.checkpoint if options.run_dir else None,
            "dataset": dataset,
            "date": datetime.date.today().isoformat(),
            "device": devices.describe(),
            "versions": run_directory.versions(),
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
