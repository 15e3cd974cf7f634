"""What an evaluation is asked for; needs no TensorFlow."""

import dataclasses
import functools
from pathlib import Path

from tfgan_robust.attacks.engine.execution import JIT_CHOICES, Execution
from tfgan_robust.attacks.options import NORMS, PROTOCOLS
from tfgan_robust.attacks.plan import AttackPlan, parse_attack
from tfgan_robust.attacks.table import known_attacks
from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.radii import eps_help, parse_eps

_WHAT, _ATTACKS, _IMAGES, _HOW = "Classifier", "Attacks", "Images", "Machine"
_AUDIT = "Audit"

DEFAULT_ATTACKS = ("fgsm", "pgd-100")


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
        ",".join(DEFAULT_ATTACKS),
        lambda: f"Comma-separated: {known_attacks()}.",
        group=_ATTACKS,
    )
    eps: str | None = setting(
        None,
        eps_help,
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
        choices=DATASETS,
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
    batch_size: int = setting(
        Execution.batch_size, "Images in a batch.", group=_HOW, minimum=1
    )
    seed: int = setting(
        Execution.seed, "Seed of the random starts.", group=_HOW, minimum=0,
        maximum=2**31 - 1,
    )  # fmt: skip
    jit_compile: str = setting(
        Execution.jit_compile,
        "XLA for the attacks; auto means on a GPU only.",
        group=_HOW,
        choices=JIT_CHOICES,
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
        fields.check(self)
        if (self.run_dir is None) == (self.model is None):
            raise UsageError("Give either `run_dir` or `model`.")
        if self.model is not None and self.dataset is None:
            raise UsageError("`model` needs `dataset`, to know the images.")
        if self.model is not None and self.split == "validation":
            raise UsageError("Only a run has validation images.")
        for name in ("dataset", "image_size"):
            if self.run_dir is not None and getattr(self, name) is not None:
                raise UsageError(
                    f"`{name}` goes with `model`; a run brings its own. "
                    f"Received: {name}={getattr(self, name)}."
                )
        if self.restarts > 1 and not self.random_start:
            raise UsageError(
                "Restarts without a random start repeat the same attack. "
                f"Received: restarts={self.restarts} with random_start=false."
            )
        # Refused now, rather than when they are first used.
        _ = self.plans, self.radii

    @property
    def execution(self) -> Execution:
        """How attacks are run."""
        return Execution(self.batch_size, self.seed, self.jit_compile)

    @property
    def folder(self) -> Path | None:
        """Where results and report go, None for nowhere."""
        folder = self.output or self.run_dir
        return None if folder is None else Path(folder)

    @functools.cached_property
    def plans(self) -> list[AttackPlan]:
        """The attacks."""
        return [
            parse_attack(
                name.strip(),
                protocol=self.protocol,
                norm=self.norm,
                step_size=self.step_size,
                step_sizes=_step_sizes(self.step_sizes),
                random_start=self.random_start,
                num_restarts=self.restarts,
                momentum=self.momentum,
            )
            for name in self.attacks.split(",")
        ]

    @functools.cached_property
    def radii(self) -> tuple[float, ...] | None:
        """The radii; None for those that suit the norm and the data set."""
        if self.eps is None:
            return None
        return parse_eps(self.eps, self.norm)


def _step_sizes(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        ratios = tuple(fields.parse_number(part) for part in text.split(","))
    except ValueError:
        ratios = (float("nan"),)
    if not all(0 < ratio <= 10 for ratio in ratios):
        raise UsageError(
            "`step_sizes` must list multiples of eps in (0, 10], such as "
            f"0.025,0.1,1. Received: {text}."
        )
    return ratios
