"""What an evaluation is asked for; needs no TensorFlow."""

import dataclasses
import functools
from pathlib import Path

from tfgan_robust.attacks.engine.execution import (
    GRADIENT_PRECISIONS,
    JIT_CHOICES,
    Execution,
)
from tfgan_robust.attacks.options import NORMS, PROTOCOLS
from tfgan_robust.attacks.plan import CLEAN, AttackPlan, parse_attack
from tfgan_robust.attacks.table import known_attacks
from tfgan_robust.audit.checks import CHECKS
from tfgan_robust.classifiers.interface import OUTPUTS, parse_input_range
from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.radii import eps_help, parse_eps, parse_length
from tfgan_robust.evaluation.shards import Shard
from tfgan_robust.networks.pretrained import card, is_pretrained
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.runs.directory import check_checkpoint

_classifier, _attack, _audit, _images, _machine = (
    functools.partial(setting, group=group)
    for group in ("Classifier", "Attacks", "Audit", "Images", "Machine")
)

DEFAULT_ATTACKS = ("fgsm", "pgd-100")


# Instead of a path to an undefended network.
AUTO, NONE = "auto", "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What to measure, on which images, and how.

    Raises:
        UsageError: for a value out of its limits or contradictory values.
    """

    run_dir: str | None = _classifier(
        None,
        lambda: (
            "Folder of a training run, whatever its network: "
            f"{', '.join(NETWORKS)} or a file's."
        ),
    )
    checkpoint: str = _classifier(
        "best",
        "Which classifier of the run: best, last, or epoch-N of those kept.",
    )
    model: str | None = _classifier(
        None,
        "Instead of a run: a .keras or .h5 file, the folder of a SavedModel, "
        "or pretrained:NAME; from images to one value for each class.",
    )
    outputs: str = _classifier(
        "auto",
        "What the model answers with; auto finds out.",
        choices=OUTPUTS,
    )
    input_range: str | None = _classifier(
        None,
        "Pixels that the model was made for: 0,255 or -1,1, imagenet, cifar10 "
        "or caffe, or means/deviations of the channels (0.5,0.5,0.5/"
        "0.2,0.2,0.2). Attacks stay on [0, 1]. Default: 0,1, or one of these "
        "names that is clearly better.",
    )
    allow_random: bool = _classifier(
        False, "Measure a classifier that answers differently each time."
    )
    attacks: str = _attack(
        ",".join(DEFAULT_ATTACKS),
        lambda: (
            f"Comma-separated: {known_attacks()}. {CLEAN}: clean images, "
            "which are always measured, alone."
        ),
    )
    eps: str | None = _attack(None, eps_help)
    norm: str = _attack(
        "linf", "Of the ball; l2 for fgsm, pgd, apgd and noise.", choices=NORMS
    )
    protocol: str = _attack(
        "worst",
        "Whether the worst iterate of PGD decides, the clean image included, "
        "or the last alone, as in the paper.",
        choices=PROTOCOLS,
    )
    step_size: str | None = _attack(
        None, "Step of PGD, read as eps is. Default: 2.5 eps / steps."
    )
    step_sizes: str | None = _attack(
        None,
        "Comma-separated steps of PGD as multiples of eps (0.025,0.1,1): "
        "each is tried, and the weakest accuracy counts.",
    )
    restarts: int = _attack(
        1, "Random restarts of PGD, APGD and PMA.", minimum=1
    )
    random_start: bool = _attack(
        True, "Whether PGD begins at a random point of the ball."
    )
    momentum: float = _attack(
        0.0, "Share of the past gradients that PGD keeps.", minimum=0, maximum=1
    )
    gradient_precision: str = _attack(
        GRADIENT_PRECISIONS[0],
        "Precision of the gradients that attacks follow; each verdict is the "
        "float32 network's, and so are the checks of the audit.",
        choices=GRADIENT_PRECISIONS,
    )
    transfer_from: str | None = _attack(
        None,
        "A run or a model whose gradients fgsm and pgd follow too, in rows "
        "of their own.",
    )
    audit: bool = _audit(
        True,
        "Check afterwards whether the figures can be believed.",
        names=CHECKS,
    )
    audit_images: int = _audit(
        128, "Images, drawn from all classes, on which to check.", minimum=8
    )
    undefended: str = _audit(
        AUTO,
        "A run or a model of the same shape, trained without defence, which "
        "the attacks must break. auto: the run's baseline or, on a data set "
        "that is known here, one that is trained in about a minute. none: "
        "the audit goes without.",
    )
    dataset: str | None = _images(
        None, "Data set for a model; a run brings its own.", choices=DATASETS
    )
    data_dir: str | None = _images(
        None,
        "Where the data lie, as in training; default: where the run had them.",
    )
    image_size: int | None = _images(
        None,
        "Side to which the middle square of each image is resized, for a "
        "model.",
        minimum=1,
    )
    split: str = _images(
        "test",
        "Test images, those that a run held out for validation, or those "
        "that it was trained on, as they are without augmentation.",
        choices=("test", "validation", "training"),
    )
    num_images: int | None = _images(
        None,
        "Measure on the first so many images, or on all if there are fewer.",
        minimum=1,
    )
    shard: str | None = setting(
        None,
        "Measure one of several equal parts of the images, such as 3/8, into "
        "a folder of its own below `output`; `merge` puts parts together.",
        group="Several machines",
    )
    batch_size: int = _machine(
        Execution.batch_size, "Images in a batch.", minimum=1
    )
    seed: int = _machine(
        Execution.seed,
        "Seed of the random starts.",
        minimum=0,
        maximum=2**31 - 1,
    )
    jit_compile: str = _machine(
        Execution.jit_compile,
        "XLA for the attacks; auto means on a GPU only.",
        choices=JIT_CHOICES,
    )
    output: str | None = _machine(
        None, "Folder for results and report. Default: the run's."
    )
    overwrite: bool = _machine(
        False,
        "Replace whatever evaluation the folder holds, and measure anew.",
    )

    def __post_init__(self) -> None:
        fields.check(self)
        check_checkpoint(self.checkpoint)
        if (self.run_dir is None) == (self.model is None):
            raise UsageError("Give either `run_dir` or `model`.")
        if self.model is not None and self.images_of is None:
            raise UsageError("`model` needs `dataset`, to know the images.")
        if self.model is not None and self.split != "test":
            raise UsageError(f"Only a run has {self.split} images.")
        if self.input_range is not None:
            parse_input_range(self.input_range)
        self._check_idle()
        if self.restarts > 1 and not self.random_start:
            raise UsageError(
                "Restarts without a random start repeat the same attack. "
                f"Received: restarts={self.restarts} with random_start=false."
            )
        # Refused now, rather than when they are first used.
        _ = self.plans, self.radii, self.part
        if self.part is not None and self.folder is None:
            raise UsageError("`shard` needs `output`, to be put together from.")

    def _check_idle(self) -> None:
        """Refuses what is looked at of a model, or of a run, alone."""
        of, names = "model", ["dataset", "image_size", "input_range", "outputs"]
        remedy = "a run brings its own"
        if self.run_dir is None:
            of, names, remedy = "run_dir", ["checkpoint"], "a model has one"
        for name in names:
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default:
                raise UsageError(
                    f"`{name}` goes with `{of}`; {remedy}. Received: "
                    f"{name}={value}."
                )

    @functools.cached_property
    def images_of(self) -> str | None:
        """The data set of `model`; a pretrained one knows its own."""
        if self.dataset is None and is_pretrained(self.model):
            return str(card(str(self.model))["dataset"])
        return self.dataset

    @property
    def execution(self) -> Execution:
        """How attacks are run."""
        return Execution(self.batch_size, self.seed, self.jit_compile)

    @property
    def whole_folder(self) -> Path | None:
        """Where the results of all images go, None for nowhere."""
        if self.output is None and self.run_dir is None:
            return None
        return Path(self.output or str(self.run_dir))

    @property
    def folder(self) -> Path | None:
        """Where results and report go, None for nowhere."""
        whole = self.whole_folder
        if whole is None or self.part is None:
            return whole
        return self.part.folder(whole)

    @functools.cached_property
    def part(self) -> Shard | None:
        """The part of the images that is measured; None for all."""
        return None if self.shard is None else Shard.parse(self.shard)

    @property
    def asks_for_generators(self) -> bool:
        """Whether an attack is a run's own generators."""
        return any(
            "generators" in stage.row.takes
            for plan in self.plans
            for stage in plan.stages
        )

    @property
    def given_undefended(self) -> str | None:
        """The undefended network that was given; None for a choice."""
        return None if self.undefended in (AUTO, NONE) else self.undefended

    @functools.cached_property
    def plans(self) -> list[AttackPlan]:
        """The attacks; none if clean images alone are measured."""
        if self.attacks.strip() == CLEAN:
            return []
        step = None
        if self.step_size is not None:
            step = parse_length("step_size", self.step_size, self.norm)
        return [
            parse_attack(
                name.strip(),
                protocol=self.protocol,
                norm=self.norm,
                step_size=step,
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
