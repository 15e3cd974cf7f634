"""What is compared in equal training time: generators, controls, yardsticks.

Each control is what a generator's place can be filled with that learns
nothing, or less.
"""

import math
from collections.abc import Iterable
from typing import Any

from experiments.harness import seconds
from experiments.harness.options import Section
from experiments.harness.study import Study
from tfgan_robust.methods.generator_settings import GeneratorSettings
from tfgan_robust.methods.gradient_settings import FGSM_STEP

# Whose steps training time is counted in.
UNIT = "fgsm"
# The column that says how much of it a training took.
TIME = f"time in {UNIT} epochs"
GENERATORS = {"generator_width": 0.0625}

# What generators see, and what else they are told.
_START: dict[str, Any] = {"method": "start", **GENERATORS}
# Before it learns, its step is that of FGSM, whatever the tanh takes off.
_GAN: dict[str, Any] = {
    "method": "gan",
    "clean_weight": 0.0,
    "generator_step": FGSM_STEP / math.tanh(GeneratorSettings.gradient_skip),
    **GENERATORS,
}

# By name: what each trial changes. Generators of the paper's method, those
# that say where a step begins, their controls, and the yardsticks.
VARIANTS: dict[str, dict[str, Any]] = {
    "nfgsm": {"method": "nfgsm"},
    "fgsm": {"method": "fgsm"},
    "start x": {**_START, "formulation": "x"},
    "start noise": {"method": "start", "start_from": "noise"},
    "gan": _GAN,
    "pgd-2": {"method": "pgd", "attack_steps": 2},
    "start grad_x": {**_START, "formulation": "grad_x"},
    "start x, free": {
        **_START,
        "formulation": "x",
        "start_noise": 1.0,
        "clip_to_ball": False,
    },
    "nfgsm, awp": {"method": "nfgsm", "weight_perturbation": 0.01},
    "pgd-7": {"method": "pgd", "attack_steps": 7},
    "start universal": {
        "method": "start",
        "start_from": "universal",
        "generator_learning_rate": 0.01,
    },
    "start remembered": {"method": "start", "start_from": "remembered"},
    "trades": {"method": "trades"},
    "gan, as it was": {
        "method": "gan",
        "generator_assignment": "all",
        "zero_output": False,
        "generator_width": 0.25,
        "generator_step": 1.25,
        "clean_weight": 0.5,
    },
    "start grad": {**_START, "formulation": "grad"},
    "start xz": {**_START, "formulation": "xz"},
    "gan, magnitude": {
        **_GAN,
        "direction": "multiplied",
        # Times a magnitude of 1/2 at first.
        "generator_step": 2 * FGSM_STEP,
    },
    # As whoever names a formulation alone trains, without being told more.
    "gan, smaller step": {**_GAN, "generator_step": FGSM_STEP},
    "gan, both terms": {
        "method": "gan",
        "clean_weight": 0.5,
        "generator_step": FGSM_STEP,
    },
    "start x, paired": {**_START, "formulation": "x", "pairing_weight": 1.0},
    "start noise, paired": {
        "method": "start",
        "start_from": "noise",
        "pairing_weight": 1.0,
    },
}

# By kind.
FAMILIES = {
    "yardsticks": [
        name for name in VARIANTS if not name.startswith(("gan", "start"))
    ],
    "generators move images": [
        name for name in VARIANTS if name.startswith("gan")
    ],
    "generators say where to start": [
        name for name in VARIANTS if "formulation" in VARIANTS[name]
    ],
    "in a generator's place": [
        name
        for name in VARIANTS
        if name.startswith("start") and "formulation" not in VARIANTS[name]
    ],
}

# Those with generators.
LEARNED = [
    *FAMILIES["generators move images"],
    *FAMILIES["generators say where to start"],
]
# All others.
UNLEARNED = [name for name in VARIANTS if name not in LEARNED]


def trial_name(variant: str, budget: int, seed: int) -> str:
    """Returns the name of a training, without its experiment's."""
    words = variant.replace(",", "").replace("/", "_").split()
    return "-".join([*words, str(budget), str(seed)])


def timed(
    variants: Iterable[str], section: Section, study: Study, budget: int
) -> dict[str, seconds.Timed]:
    """Returns what variants are trained with for a budget, without a seed.

    Args:
        variants: Of `VARIANTS`, whose steps are timed together.
        section: What all share.
        study: Where costs of steps are kept.
        budget: Their time, in epochs of `UNIT`.
    """
    names = list(variants)
    wanted = {
        name: {**section.training, **VARIANTS[name]}
        for name in dict.fromkeys((UNIT, *names))
    }
    costs = study.results / "costs.json"
    found = seconds.equal_time(costs, wanted, UNIT, budget)
    return {name: found[name] for name in names}


def sides(variants: Iterable[str]) -> tuple[list[str], list[str]]:
    """Returns the variants with a generator, and those without, in order."""
    names = list(variants)
    return (
        [name for name in names if name in LEARNED],
        [name for name in names if name not in LEARNED],
    )
