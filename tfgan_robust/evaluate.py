"""Command line of the evaluation: `python -m tfgan_robust.evaluate`."""

import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfgan_robust import (
    cli,
    config,
    presets,
    run_directory,
    settings,
    startup,
)
from tfgan_robust.attack_plan import AttackPlan, parse_attack
from tfgan_robust.errors import UsageError
from tfgan_robust.settings import setting

if TYPE_CHECKING:
    from tfgan_robust.data import Split
    from tfgan_robust.evaluation import Evaluation

USAGE = """
Measures a classifier's accuracy on clean and on attacked images.

  python -m tfgan_robust.evaluate --run_dir=runs/cifar10-grad_x-0
  python -m tfgan_robust.evaluate --run_dir=R --attacks=pgd-20 --num_images=100
  python -m tfgan_robust.evaluate --model=classifier.keras --dataset=cifar10
"""

_WHAT, _ATTACKS, _IMAGES, _HOW = "Classifier", "Attacks", "Images", "Machine"
SCHEMA_VERSION = 1


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
    attacks: str = setting(
        "fgsm,pgd-100",
        "Comma-separated: fgsm, pgd-<steps>.",
        group=_ATTACKS,
    )
    eps: str | None = setting(
        None,
        "Comma-separated L-infinity radii: whole numbers are 255ths, "
        "fractions (8/255) and decimals (0.1) are on the [0, 1] pixel scale. "
        "Default: 4,8,16; for digits 0.05,0.1,0.2.",
        group=_ATTACKS,
    )
    protocol: str = setting(
        "final",
        "Whether the last iterate of PGD decides, or the worst of all.",
        group=_ATTACKS,
        choices=("final", "worst"),
    )
    step_size: float | None = setting(
        None,
        "Step of PGD on the [0, 1] pixel scale. Default: 2.5 eps / steps.",
        group=_ATTACKS,
        above=0,
        maximum=1,
    )
    restarts: int = setting(
        1, "Random restarts of PGD.", group=_ATTACKS, minimum=1
    )
    random_start: bool = setting(
        True,
        "Whether PGD begins at a random point of the ball.",
        group=_ATTACKS,
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
        "Folder for results.json and results.csv. Default: the run's.",
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
            parse_eps(self.eps)
        plans(self)


def parse_eps(text: str) -> tuple[float, ...]:
    """Parses radii: "8" is 8/255, "8/255" and "0.03" are what they say.

    Raises:
        UsageError: for anything else, or a radius outside (0, 1].
    """
    radii = []
    for part in text.split(","):
        try:
            whole = part.strip().isdecimal()
            radius = int(part) / 255 if whole else settings.parse_number(part)
        except ValueError:
            radius = float("nan")
        if not 0 < radius <= 1:
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
            step_size=options.step_size,
            random_start=options.random_start,
            num_restarts=options.restarts,
            protocol=options.protocol,
        )
        for name in options.attacks.split(",")
    ]


def evaluate(options: EvaluateSettings) -> "Evaluation":
    """Measures and writes results.json and results.csv.

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
    elif not Path(str(options.model)).exists():
        raise UsageError(f"There is no model at {options.model}.")
    startup.load_tensorflow()
    from tfgan_robust.classifiers import load_classifier
    from tfgan_robust.evaluation import evaluate_classifier
    from tfgan_robust.monitoring import EvaluationProgress

    classifier = load_classifier(
        run_dir=options.run_dir,
        checkpoint=options.checkpoint,
        model=options.model,
        outputs=options.outputs,
    )
    dataset, split, radii = _images(options)
    total = len(split.labels) * (1 + len(planned) * len(radii))
    with EvaluationProgress(classifier.description, total) as progress:
        return evaluate_classifier(
            classifier,
            split,
            attacks=planned,
            eps=radii,
            batch_size=min(options.batch_size, len(split.labels)),
            seed=options.seed,
            jit_compile=options.jit_compile,
            progress=progress,
            on_result=lambda so_far: _write(options, dataset, so_far),
        )


def print_table(evaluations: "dict[str, Evaluation]") -> None:
    """Prints evaluations side by side, and how they were measured."""
    from tfgan_robust import tables

    print(tables.format_table(evaluations))
    for conditions in dict.fromkeys(
        tables.describe_conditions(e) for e in evaluations.values()
    ):
        print(conditions)


def main() -> None:
    """Runs the command line."""
    cli.main(EvaluateSettings, _run, usage=USAGE)


def _run(given: dict[str, Any]) -> int:
    options = EvaluateSettings(**given)
    evaluation = evaluate(options)
    print_table({evaluation.classifier: evaluation})
    folder = _output_folder(options)
    if folder is not None:
        print(f"written to {folder / 'results.json'}")
    return 0


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
    radii = presets.REPORT_EPS[name]
    if options.eps is not None:
        radii = parse_eps(options.eps)
    described = {"name": name, "source": info.source, "split": options.split}
    return described, split, radii


def _output_folder(options: EvaluateSettings) -> Path | None:
    folder = options.output or options.run_dir
    return None if folder is None else Path(folder)


def _write(
    options: EvaluateSettings, dataset: dict[str, Any], so_far: "Evaluation"
) -> None:
    folder = _output_folder(options)
    if folder is None:
        return
    from tfgan_robust import devices, tables

    folder.mkdir(parents=True, exist_ok=True)
    versions = run_directory.versions()
    conditions = {
        "date": datetime.date.today().isoformat(),
        "device": devices.describe(),
    }
    run_directory.write_json(
        folder / "results.json",
        {
            "schema_version": SCHEMA_VERSION,
            **conditions,
            "checkpoint": options.checkpoint if options.run_dir else None,
            "dataset": dataset,
            "versions": versions,
            **so_far.to_json(),
        },
    )
    conditions["dataset"] = f"{dataset['source']}, {dataset['split']} split"
    conditions["versions"] = " ".join(f"{k}={v}" for k, v in versions.items())
    run_directory.write_text(
        folder / "results.csv", tables.to_csv(so_far, conditions)
    )


if __name__ == "__main__":
    main()
