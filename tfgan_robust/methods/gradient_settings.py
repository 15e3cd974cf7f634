"""What methods that perturb by gradients can be told; needs no TensorFlow."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tfgan_robust.cli.fields import setting
from tfgan_robust.methods.settings import (
    ADVERSARY,
    OBJECTIVE,
    Equation5Settings,
    PerturbingSettings,
    RandomStartSettings,
)

# The step of FGSM with a random start (arXiv:2001.03994, section 5), as a
# multiple of eps.
FGSM_STEP = 1.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class FGSMSettings(RandomStartSettings):
    """Of method fgsm."""

    attack_step_size: float | None = setting(
        None,
        "Step of methods fgsm and pgd. Without it 1.25 eps for fgsm, 2.5 eps / "
        "attack_steps for pgd.",
        group=ADVERSARY,
        length=True,
        above=0,
        maximum=4,
    )

    @classmethod
    def method_defaults(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The yardsticks are trained as their papers train them."""
        return {"clean_weight": 0.0, "random_start": 1.0}

    def problems(self) -> Iterator[tuple[bool, str]]:
        """A start is the image, or anywhere in the ball."""
        yield (
            self.random_start not in (0, 1),
            "Methods fgsm and pgd start at the image (random_start=0) or "
            "anywhere in the ball (random_start=1). Received: "
            f"random_start={self.random_start:g}.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PGDSettings(FGSMSettings):
    """Of method pgd."""

    attack_steps: int = setting(
        7,
        "Gradient steps of method pgd.",
        group=ADVERSARY,
        minimum=1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NFGSMSettings(Equation5Settings):
    """Of method nfgsm."""

    noise_size: float = setting(
        2.0,
        "Radius, as a multiple of eps, of the uniform noise to which the "
        "gradient's step is added; neither is clipped to the ball.",
        group=ADVERSARY,
        minimum=0,
        maximum=8,
    )
    noise_step: float = setting(
        1.0,
        "Step along the gradient's sign, as a multiple of eps.",
        group=ADVERSARY,
        above=0,
        maximum=4,
    )

    @classmethod
    def method_defaults(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Perturbed images alone, as the paper trains."""
        return {"clean_weight": 0.0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TRADESSettings(PerturbingSettings):
    """Of method trades."""

    divergence_weight: float = setting(
        6.0,
        "Weight of the divergence between answers to clean and to perturbed "
        "images, 1 / lambda of the paper.",
        group=OBJECTIVE,
        above=0,
    )
    divergence_steps: int = setting(
        10,
        "Steps up the divergence.",
        group=ADVERSARY,
        minimum=1,
    )
    divergence_step: float = setting(
        0.25,
        "Their size, as a multiple of eps.",
        group=ADVERSARY,
        above=0,
        maximum=4,
    )
