"""What an evaluation found; needs no TensorFlow."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.errors import UsageError
from tfgan_robust.reports.numbers import same_eps, wilson
from tfgan_robust.reports.verdicts import Check

SCHEMA_VERSION = 3
# The row of what all attacks together leave correct.
WORST = "worst case"
# As above, of attacked images rounded to 256 levels, as files hold them.
STORED = "worst case, 8-bit"


def result_name(attack: str, eps: float) -> str:
    """Returns the name of a result in masks.npz."""
    return CLEAN if attack == CLEAN else f"{attack}@{eps:.6g}"


def accuracy_fields(num_correct: int, num_images: int) -> dict[str, Any]:
    """Returns the fields that state an accuracy in the classes below."""
    low, high = wilson(num_correct, num_images)
    return {
        "num_images": num_images,
        "num_correct": num_correct,
        "accuracy": num_correct / num_images,
        "accuracy_low": low,
        "accuracy_high": high,
    }


def correct_within(
    masks: Mapping[tuple[str, float], np.ndarray], eps: float
) -> np.ndarray:
    """Returns which images no attack within a radius fooled.

    Args:
        masks: bool [n] by attack and radius, as in `Evaluation`.
        eps: The radius.

    Returns:
        bool [n].
    """
    return np.logical_and.reduce(
        [mask for (_, radius), mask in masks.items() if radius <= eps]
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageResult:
    """What one stage of an attack did.

    Attributes:
        name: The stage.
        num_images: Images that it attacked.
        num_correct: Images that it left correct.
        forward_passes: Mean for each image that it attacked.
        backward_passes: Mean for each image that it attacked.
        seconds: Wall time, compilation included.
        settings: What it was run with, by name; JSON values.
    """

    name: str
    num_images: int
    num_correct: int
    forward_passes: float
    backward_passes: float
    seconds: float
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One accuracy, with everything that it depends on.

    Attributes:
        attack: "clean", or an attack's name.
        eps: Radius, in the units of the ball.
        norm: "linf", on the [0, 1] pixel scale, or "l2", the Euclidean norm.
        protocol: "final" or "worst".
        num_images: Images measured.
        num_correct: Images correct under this attack.
        accuracy: Their share.
        accuracy_low: Lower end of the Wilson 95 % interval.
        accuracy_high: Its upper end.
        largest_perturbation: Largest norm of a perturbation, at most eps.
        forward_passes: Mean for each image.
        backward_passes: Mean for each image.
        seconds: Wall time, compilation included.
        image_steps_per_second: Steps or queries on single images.
        stages: Of the attack.
    """

    attack: str
    eps: float
    norm: str
    protocol: str
    num_images: int
    num_correct: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    largest_perturbation: float
    forward_passes: float
    backward_passes: float
    seconds: float
    image_steps_per_second: float
    stages: tuple[StageResult, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pointwise:
    """Images correct whatever was tried within a radius.

    Attributes:
        eps: The radius; attacks at smaller ones count too.
        attacks: The attacks that were tried at this radius.
        num_images: Images measured.
        num_correct: Images that nothing fooled, clean images included.
        accuracy: Their share.
        accuracy_low: Lower end of the Wilson 95 % interval.
        accuracy_high: Its upper end.
    """

    eps: float
    attacks: tuple[str, ...]
    num_images: int
    num_correct: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float


@dataclasses.dataclass
class Evaluation:
    """All accuracies of one classifier.

    Attributes:
        classifier: One line on the classifier.
        num_images: Images measured.
        seed: Seed of everything that was drawn.
        batch_size: Images in a batch.
        jit_compile: Whether XLA compiled the attacks.
        norm: "linf" or "l2".
        results: Clean first, then each attack at each eps.
        pointwise: For each eps, what all attacks together left correct.
        stored: As `pointwise`, of what was attacked after it was rounded to
            256 levels within the ball; empty where that says nothing.
        audit: What was checked; None if it was not.
        complete: False if it was interrupted.
        notes: What a reader of the figures must know, a line each.
        masks: For each attack and eps, bool [n]: correct under it.
        predicted: For each attack and eps, int32 [n]: the class under it.
        smallest: Up to ten of the smallest perturbations that fool images
            which are correct while clean.
    """

    classifier: str
    num_images: int
    seed: int
    batch_size: int
    jit_compile: bool
    norm: str
    results: list[Result] = dataclasses.field(default_factory=list)
    pointwise: list[Pointwise] = dataclasses.field(default_factory=list)
    stored: list[Pointwise] = dataclasses.field(default_factory=list)
    audit: list[Check] | None = None
    complete: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)
    masks: dict[tuple[str, float], np.ndarray] = dataclasses.field(
        default_factory=dict
    )
    predicted: dict[tuple[str, float], np.ndarray] = dataclasses.field(
        default_factory=dict
    )
    smallest: "Smallest" = dataclasses.field(default_factory=lambda: Smallest())

    def accuracy(self, attack: str, eps: float = 0.0) -> float:
        """Returns one accuracy, as a share of 1.

        Raises:
            UsageError: if it was not measured.
        """
        for result in self.results:
            if result.attack == attack and same_eps(result.eps, eps):
                return result.accuracy
        raise UsageError(f"{attack} at eps={eps:g} was not measured.")

    def to_json(self) -> dict[str, Any]:
        """Returns everything but the masks and images as JSON values."""
        bulky = ("masks", "predicted", "smallest", "audit")
        fields = dataclasses.fields(self)
        shallow = {
            f.name: getattr(self, f.name) for f in fields if f.name not in bulky
        }
        for name in ("results", "pointwise", "stored"):
            shallow[name] = [dataclasses.asdict(r) for r in shallow[name]]
        checks = self.audit
        shallow["audit"] = checks and [dataclasses.asdict(c) for c in checks]
        return shallow


@dataclasses.dataclass
class Smallest:
    """The smallest perturbations that fool, one for each image.

    Attributes:
        found: By the image's index: the norm, the attack, the class that it
            is taken for, and the attacked image, float32.
    """

    found: dict[int, tuple[float, str, int, np.ndarray]] = dataclasses.field(
        default_factory=dict
    )

    def offer(
        self,
        index: int,
        size: float,
        attack: str,
        predicted: int,
        image: np.ndarray,
        *,
        count: int = 10,
    ) -> None:
        """Keeps a perturbation if it is among the smallest.

        Of equal ones the image of the lower index stays, so that it does not
        matter which image is offered first.
        """
        known = self.found.get(index)
        if known is not None and known[0] <= size:
            return
        if known is None and len(self.found) >= count:
            largest = max(self.found, key=lambda i: (self.found[i][0], i))
            if (self.found[largest][0], largest) < (size, index):
                return
            del self.found[largest]
        self.found[index] = (size, attack, predicted, image.copy())
