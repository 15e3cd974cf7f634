"""What methods with generators can be told; needs no TensorFlow."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from tfgan_robust.attacks.formulations import (
    FORMULATIONS,
    GRADIENT_LABELS,
    sees_gradient,
)
from tfgan_robust.cli.fields import setting
from tfgan_robust.methods.settings import (
    ADVERSARY,
    MODES,
    NETWORK,
    OBJECTIVE,
    OPTIMIZER,
    Equation5Settings,
    RandomStartSettings,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorNetworkSettings(Equation5Settings):
    """Of methods with generators: what they see, and what they are."""

    formulation: str = setting(
        "grad_x",
        "What a generator sees: the image (x), with latent noise (xz), the "
        "sign of the loss gradient (grad), or gradient and image (grad_x); "
        "equations 6 to 9.",
        group=ADVERSARY,
        choices=FORMULATIONS,
    )
    num_generators: int = setting(
        2,
        "How many generators are trained, each with its own optimizer.",
        group=ADVERSARY,
        minimum=1,
        maximum=16,
    )
    latent_channels: int = setting(
        1,
        "Channels of the latent noise z of formulation xz, normal noise of "
        "the image's height and width, drawn anew for each generator call.",
        group=ADVERSARY,
        minimum=1,
        maximum=64,
    )
    generator_width: float = setting(
        0.0625,
        "Scales the generators' filters: 1 and 2 are the paper's x1 and x2.",
        group=NETWORK,
        above=0,
        maximum=16,
    )
    generator_learning_rate: float = setting(
        1e-3,
        "Adam's learning rate for the generators.",
        group=OPTIMIZER,
        above=0,
    )
    zero_output: bool = setting(
        True,
        "Whether a generator's last convolution starts at zero, so that at "
        "first only the direct path of the gradient's sign moves images.",
        group=NETWORK,
    )

    def problems(self) -> Iterator[tuple[bool, str]]:
        """What a formulation lacks."""
        yield (
            self.latent_channels != 1
            and "noise" not in FORMULATIONS[self.formulation],
            "`latent_channels` goes with a formulation that sees noise. "
            f"Received: latent_channels={self.latent_channels} with "
            f"formulation={self.formulation}.",
        )

    @property
    def num_networks(self) -> int:
        """How many networks learn to perturb."""
        return self.num_generators

    @property
    def num_parts(self) -> int:
        """Into how many parts a batch is divided, each one network's own."""
        return self.num_networks

    @property
    def build_network(self) -> str:
        """The function that builds one of them, by name."""
        return "tfgan_robust.networks.generator:build_generator"

    @property
    def network_options(self) -> dict[str, Any]:
        """What that function is told beside shapes and a name."""
        return {
            "width": self.generator_width,
            "zero_output": self.zero_output,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorSettings(GeneratorNetworkSettings, RandomStartSettings):
    """Of method gan, the paper's: generators are the attack."""

    generator_assignment: str = setting(
        "split",
        "Whether each image meets all generators, or one of them, drawn at "
        "random (split): the mean over generators of equation 5, estimated "
        "without bias at a fraction of its cost.",
        group=OBJECTIVE,
        choices=("all", "split"),
    )
    direction: str = setting(
        "added",
        "What a generator does to the gradient's sign: it is added, times "
        "gradient_skip, to the output in front of the tanh, or multiplied, "
        "pixel by pixel, by a learned magnitude in [0, 1].",
        group=ADVERSARY,
        choices=("added", "multiplied"),
    )
    generator_step: float = setting(
        1.25,
        "Size of a generator's output, which is in [-1, 1], as a multiple of "
        "eps; what leaves the ball is clipped.",
        group=ADVERSARY,
        above=0,
        maximum=4,
    )
    gradient_skip: float = setting(
        1.0,
        "Gain of a direct path from the gradient's sign to the generator's "
        "output in front of its tanh; 0 for none. Needs a formulation with "
        "a gradient.",
        group=ADVERSARY,
        minimum=0,
        maximum=10,
    )
    gradient_label: str = setting(
        "true",
        "Class whose loss the gradient that a generator sees is of: the true "
        "one, or the one that the classifier predicts, which gives no label "
        "away (arXiv:1611.01236).",
        group=ADVERSARY,
        choices=GRADIENT_LABELS,
    )
    update: str = setting(
        "simultaneous",
        "Whether generators and classifier update in turn, or "
        "simultaneously from one shared backward pass (cheaper).",
        group=OBJECTIVE,
        choices=("alternating", "simultaneous"),
    )
    generator_updates: int = setting(
        1,
        "Generator updates for each classifier update (alternating only).",
        group=OBJECTIVE,
        minimum=1,
        maximum=100,
    )
    generator_mode: str = setting(
        "training",
        "Mode of the classifier while generators learn through it; "
        "simultaneous updates need `training`.",
        group=OBJECTIVE,
        choices=MODES,
    )

    @property
    def num_batches(self) -> int:
        """One for each generator, if each sees all images."""
        return self.num_generators // self.num_parts

    @property
    def num_parts(self) -> int:
        """One where each generator sees all images."""
        split = self.generator_assignment == "split"
        return self.num_generators if split else 1

    @property
    def network_options(self) -> dict[str, Any]:
        """How the gradient's sign reaches the output, too."""
        return {
            **super().network_options,
            "gradient_skip": self.gradient_skip,
            "direction": self.direction,
        }

    @classmethod
    def method_defaults(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without a gradient there is none to skip."""
        formulation = given.get("formulation", "")
        if formulation not in FORMULATIONS or sees_gradient(formulation):
            return {}
        return {"gradient_skip": 0.0}

    def idle(self) -> Iterator[tuple[bool, str, str]]:
        """Yields whether a setting has no effect, which, and why."""
        multiplied = self.direction == "multiplied"
        yield multiplied, "gradient_skip", "with direction=multiplied"

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
            self.direction == "multiplied"
            and not sees_gradient(self.formulation),
            "direction=multiplied needs a formulation with a gradient. "
            f"Received: formulation={self.formulation}.",
        )
        for name, usual in (
            ("attack_mode", "inference"),
            ("gradient_label", "true"),
        ):
            value = getattr(self, name)
            yield (
                value != usual and not sees_gradient(self.formulation),
                f"`{name}` goes with a formulation with a gradient. "
                f"Received: {name}={value} with "
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedStartSettings(GeneratorNetworkSettings):
    """Of method start: generators say where a gradient step begins."""

    start_from: str = setting(
        "generator",
        "What says where the step begins: generators, one perturbation for "
        "all images that is learned (universal), uniform noise, or the sign "
        "of the gradient that was remembered from the image's last visit.",
        group=ADVERSARY,
        choices=("generator", "universal", "noise", "remembered"),
    )
    start_size: float = setting(
        1.0,
        "Largest length of that start, as a multiple of eps; for each image "
        "one up to it is drawn.",
        group=ADVERSARY,
        above=0,
        maximum=4,
    )
    start_noise: float = setting(
        0.5,
        "Radius of the uniform noise that is added, as a multiple of eps.",
        group=ADVERSARY,
        minimum=0,
        maximum=4,
    )
    gradient_step: float = setting(
        1.0,
        "Step from there along the sign of the gradient, as a multiple of eps.",
        group=ADVERSARY,
        above=0,
        maximum=4,
    )
    clip_to_ball: bool = setting(
        True,
        "Whether what leaves the ball after the step is clipped; images stay "
        "in [0, 1] in any case.",
        group=ADVERSARY,
    )

    @classmethod
    def method_defaults(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Perturbed images alone, as the yardsticks are trained."""
        return {"clean_weight": 0.0}

    @property
    def pairs_are_clean(self) -> bool:
        """Pairs are the starts, which were looked at for their gradient."""
        return False

    @property
    def num_networks(self) -> int:
        """How many networks learn to perturb."""
        networks = {"generator": self.num_generators, "universal": 1}
        return networks.get(self.start_from, 0)

    @property
    def build_network(self) -> str:
        """Generators, or what is the same for all images."""
        if self.start_from == "universal":
            return "tfgan_robust.networks.generator:build_universal"
        return super().build_network

    @property
    def network_options(self) -> dict[str, Any]:
        """One perturbation for all images has no options."""
        universal = self.start_from == "universal"
        return {} if universal else super().network_options

    @property
    def remembers(self) -> bool:
        """Whether gradients of an image's last visit are looked at."""
        return self.start_from == "remembered" or (
            self.start_from == "generator" and sees_gradient(self.formulation)
        )

    def problems(self) -> Iterator[tuple[bool, str]]:
        """Settings of generators need generators."""
        for name in ("formulation", "num_generators"):
            default = type(self).__dataclass_fields__[name].default
            value = getattr(self, name)
            yield (
                self.start_from != "generator" and value != default,
                f"`{name}` goes with start_from=generator. Received: "
                f"{name}={value} with start_from={self.start_from}.",
            )

    def idle(self) -> Iterator[tuple[bool, str, str]]:
        """Yields whether a setting has no effect, which, and why."""
        builds = self.start_from == "generator"
        reason = f"with start_from={self.start_from}"
        yield not builds, "generator_width", reason
        yield not builds, "zero_output", reason
        yield not self.num_networks, "generator_learning_rate", reason
