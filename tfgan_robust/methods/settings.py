"""What each training method can be told; needs no TensorFlow.

The settings of a run hold those of its method beside the common ones of
`runs/config.py`. A setting that several methods share is written once, in a
class that they inherit. Those of attacks by gradients and of generators are in
modules beside this one.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tfgan_robust.cli.fields import setting

MODES = ("inference", "training")

ADVERSARY = "Adversary"
OBJECTIVE = "Objective and updates"
NETWORK = "Networks"
OPTIMIZER = "Optimizers"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """The settings of a method; subclasses add fields."""

    @classmethod
    def method_defaults(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns what the method wants whatever data set and preset say.

        Args:
            given: What the user set, by name.
        """
        return {}

    def problems(self) -> Iterator[tuple[bool, str]]:
        """Yields what must not hold, and what to say if it does."""
        return iter(())


@dataclasses.dataclass(frozen=True, kw_only=True)
class CleanSettings(MethodSettings):
    """The first term of equation 5."""

    clean_weight: float = setting(
        0.0,
        "Weight of the loss on clean images, the first term of equation 5; "
        "without it they are not looked at.",
        group=OBJECTIVE,
        minimum=0,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerturbingSettings(MethodSettings):
    """How images are perturbed, and how the classifier then sees them."""

    attack_mode: str = setting(
        "inference",
        "Mode of the classifier (dropout, batch normalisation) while its "
        "input gradient is taken. Its variables stay as they are in both.",
        group=ADVERSARY,
        choices=MODES,
    )
    batching: str = setting(
        "joint",
        "Whether the classifier sees clean and perturbed images in one "
        "batch or in separate passes, each normalised by its own batch "
        "statistics.",
        group=OBJECTIVE,
        choices=("joint", "separate"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Equation5Settings(CleanSettings, PerturbingSettings):
    """Both terms of equation 5."""

    adversarial_weight: float = setting(
        1.0,
        "Weight of the loss on perturbed images, the second term of "
        "equation 5, averaged over the generators.",
        group=OBJECTIVE,
        above=0,
    )
    clean_share: float = setting(
        1.0,
        "Share of a batch that is seen clean; needs clean_weight > 0.",
        group=OBJECTIVE,
        above=0,
        maximum=1,
    )
    pairing_weight: float = setting(
        0.0,
        "Weight of the squared difference, averaged over classes, between "
        "logits of perturbed images and their pairs: the clean images, or "
        "what a learned start made of them, seen in attack_mode. Both sides "
        "are trained.",
        group=OBJECTIVE,
        minimum=0,
    )

    def problems(self) -> Iterator[tuple[bool, str]]:
        """Pairs, shares and passes must have been looked at."""
        yield (
            self.batching == "separate"
            and self.clean_weight == 0
            and self.num_batches == 1,
            "`batching=separate` needs more than one batch: clean images by "
            "clean_weight > 0, or generator_assignment=all. Received: "
            "batching=separate with clean_weight=0.",
        )
        yield (
            self.clean_share < 1 and self.clean_weight == 0,
            "`clean_share` needs clean_weight > 0. Received: "
            f"clean_share={self.clean_share:g} with clean_weight=0.",
        )
        yield (
            self.pairing_weight > 0
            and self.pairs_are_clean
            and (self.clean_weight == 0 or self.clean_share < 1),
            "`pairing_weight` pairs with all clean images; it needs "
            "clean_weight > 0 and clean_share=1. Received: "
            f"pairing_weight={self.pairing_weight:g} with "
            f"clean_weight={self.clean_weight:g} and "
            f"clean_share={self.clean_share:g}.",
        )

    @property
    def pairs_are_clean(self) -> bool:
        """Whether perturbed images are paired with clean ones."""
        return True

    @property
    def num_batches(self) -> int:
        """How many perturbed batches the classifier sees of one of images."""
        return 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomStartSettings(Equation5Settings):
    """Perturbations that start at a random point of the ball."""

    random_start: float = setting(
        1.0,
        "Radius, as a share of eps, of the uniform noise from which a "
        "perturbation starts; the gradient is taken there.",
        group=ADVERSARY,
        minimum=0,
        maximum=1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NaturalSettings(CleanSettings):
    """Of method natural."""

    @classmethod
    def method_defaults(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Clean images alone."""
        return {"clean_weight": 1.0}

    def problems(self) -> Iterator[tuple[bool, str]]:
        """A loss of 0 teaches nothing."""
        yield (
            self.clean_weight == 0,
            "Method natural needs clean_weight > 0. Received: clean_weight=0.",
        )
