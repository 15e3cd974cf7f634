"""What each training method can be told; needs no TensorFlow.

The settings of a run hold those of its method beside the common ones of
`runs/config.py`. A setting that several methods share is written once, in a
class that they inherit.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tfgan_robust.attacks.formulations import FORMULATIONS, sees_gradient
from tfgan_robust.cli.fields import setting

MODES = ("inference", "training")

_ADVERSARY = "Adversary"
_OBJECTIVE = "Objective and updates"
_NETWORKS = "Networks"
_OPTIMIZERS = "Optimizers"


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
        0.5,
        "Weight of the loss on clean images, the first term of equation 5.",
        group=_OBJECTIVE,
        minimum=0,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PerturbingSettings(MethodSettings):
    """How images are perturbed, and how the classifier then sees them."""

    random_start: float = setting(
        1.0,
        "Radius, as a share of eps, of the uniform noise from which a "
        "perturbation starts; the gradient is taken there.",
        group=_ADVERSARY,
        minimum=0,
        maximum=1,
    )
    attack_mode: str = setting(
        "inference",
        "Mode of the classifier (dropout, batch normalisation) while its "
        "input gradient is taken. Its variables stay as they are in both.",
        group=_ADVERSARY,
        choices=MODES,
    )
    batching: str = setting(
        "joint",
        "Whether the classifier sees clean and perturbed images in one "
        "batch or in separate passes, each normalised by its own batch "
        "statistics.",
        group=_OBJECTIVE,
        choices=("joint", "separate"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Equation5Settings(CleanSettings, PerturbingSettings):
    """Both terms of equation 5."""

    adversarial_weight: float = setting(
        1.0,
        "Weight of the loss on perturbed images, the second term of "
        "equation 5, averaged over the generators.",
        group=_OBJECTIVE,
        above=0,
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class FGSMSettings(Equation5Settings):
    """Of method fgsm."""

    attack_step_size: float | None = setting(
        None,
        "Step of methods fgsm and pgd. Without it 1.25 eps for fgsm, 2.5 eps / "
        "attack_steps for pgd.",
        group=_ADVERSARY,
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
        group=_ADVERSARY,
        minimum=1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorSettings(Equation5Settings):
    """Of method gan, the paper's."""

    formulation: str = setting(
        "grad_x",
        "What a generator sees: the image (x), with latent noise (xz), the "
        "sign of the loss gradient (grad), or gradient and image (grad_x); "
        "equations 6 to 9.",
        group=_ADVERSARY,
        choices=FORMULATIONS,
    )
    num_generators: int = setting(
        2,
        "How many generators are trained, each with its own optimizer.",
        group=_ADVERSARY,
        minimum=1,
        maximum=16,
    )
    generator_step: float = setting(
        1.25,
        "Size of a generator's tanh output, as a multiple of eps; what "
        "leaves the ball is clipped.",
        group=_ADVERSARY,
        above=0,
        maximum=4,
    )
    gradient_skip: float = setting(
        1.0,
        "Gain of a direct path from the gradient's sign to the generator's "
        "output in front of its tanh; 0 for none. Needs a formulation with "
        "a gradient.",
        group=_ADVERSARY,
        minimum=0,
        maximum=10,
    )
    latent_channels: int = setting(
        1,
        "Channels of the latent noise z of formulation xz, normal noise of "
        "the image's height and width, drawn anew for each generator call.",
        group=_ADVERSARY,
        minimum=1,
        maximum=64,
    )
    update: str = setting(
        "simultaneous",
        "Whether generators and classifier update in turn, or "
        "simultaneously from one shared backward pass (cheaper).",
        group=_OBJECTIVE,
        choices=("alternating", "simultaneous"),
    )
    generator_updates: int = setting(
        1,
        "Generator updates for each classifier update (alternating only).",
        group=_OBJECTIVE,
        minimum=1,
        maximum=100,
    )
    generator_mode: str = setting(
        "training",
        "Mode of the classifier while generators learn through it; "
        "simultaneous updates need `training`.",
        group=_OBJECTIVE,
        choices=MODES,
    )
    generator_width: float = setting(
        1.0,
        "Scales the generators' filters: 1 and 2 are the paper's x1 and x2.",
        group=_NETWORKS,
        above=0,
        maximum=16,
    )
    generator_learning_rate: float = setting(
        1e-3,
        "Adam's learning rate for the generators.",
        group=_OPTIMIZERS,
        above=0,
    )

    @classmethod
    def method_defaults(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without a gradient there is none to skip."""
        formulation = given.get("formulation", "")
        if formulation not in FORMULATIONS or sees_gradient(formulation):
            return {}
        return {"gradient_skip": 0.0}

    def problems(self) -> Iterator[tuple[bool, str]]:
        """What a formulation lacks, and what a shared pass excludes."""
        simultaneous = self.update == "simultaneous"
        yield (
            self.gradient_skip > 0 and not sees_gradient(self.formulation),
            "`gradient_skip` needs a formulation with a gradient. Received: "
            f"gradient_skip={self.gradient_skip:g} with "
            f"formulation={self.formulation}.",
        )
        yield (
            self.latent_channels != 1
            and "noise" not in FORMULATIONS[self.formulation],
            "`latent_channels` goes with a formulation that sees noise. "
            f"Received: latent_channels={self.latent_channels} with "
            f"formulation={self.formulation}.",
        )
        yield (
            simultaneous and self.generator_mode != "training",
            "Simultaneous updates share the classifier's training pass and "
            "need generator_mode=training. Received: "
            f"generator_mode={self.generator_mode}.",
        )
        yield (
            simultaneous and self.generator_updates != 1,
            "Simultaneous updates allow one generator update for each "
            "classifier update; use update=alternating for more. Received: "
            f"generator_updates={self.generator_updates}.",
        )
