"""torchattacks' attacks on the PyTorch twin of a classifier.

Needs the packages that `benchmark_attacks.py` names.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import torch
import torchattacks
from torch import nn

from experiments.peers.torch_twin import (
    largest_difference,
    to_numpy,
    to_torch,
    torch_twin,
)
from tfgan_robust.attacks.plan import Stage

# From images and labels to attacked images.
Attack = Callable[[np.ndarray, np.ndarray], np.ndarray]


def attacks_on_twin(
    model: keras.Model,
    images: np.ndarray,
    in_batches: Callable[[Attack], Attack],
    *,
    eps: float,
    seed: int,
) -> dict[str, Callable[..., Attack]]:
    """Returns torchattacks' attacks on the twin.

    Args:
        model: The classifier.
        images: float32 [n, height, width, channels] in [0, 1]; both networks
            are compared on them.
        in_batches: Makes an attack on a batch one on any number of images.
        eps: Radius.
        seed: Of everything that is drawn.

    Returns:
        By our names without their budgets: from a plan's stages to an attack.

    Raises:
        ValueError: if the model cannot be ported.
    """
    twin = torch_twin(model)
    difference = largest_difference(model, twin, images)
    print(f"largest difference of a logit in PyTorch: {difference:.2g}")
    if not difference <= 1e-4:
        raise ValueError("The port to PyTorch answers differently.")

    def prepare(build: Callable[..., Any], *stages: Stage) -> Attack:
        torch.manual_seed(seed)
        attack = build(twin, {"eps": eps, "seed": seed}, *stages)
        return in_batches(
            lambda images, labels: to_numpy(
                attack(to_torch(images), torch.from_numpy(labels))
            )
        )

    return {name: partial(prepare, build) for name, build in BUILDERS.items()}


def _pgd(twin: nn.Module, how: dict[str, Any], stage: Stage) -> Any:
    eps = how["eps"]
    step_size = stage.settings["step_ratio"] * eps
    return torchattacks.PGD(twin, eps, step_size, stage.settings["num_steps"])


def _apgd(twin: nn.Module, how: dict[str, Any], stage: Stage) -> Any:
    return torchattacks.APGD(twin, steps=stage.settings["num_steps"], **how)


def _square(twin: nn.Module, how: dict[str, Any], stage: Stage) -> Any:
    # The schedule is squeezed into the budget, as by ART and by us.
    budget = stage.settings["num_queries"]
    return torchattacks.Square(twin, n_queries=budget, **how)


def _autoattack(twin: Any, how: dict[str, Any], *stages: Stage) -> Any:
    """Returns AutoAttack with the budgets of arXiv:2003.01690.

    torchattacks' own takes 10 steps and cannot be told otherwise. Of the same
    parts, all that is not set here is as published (read in version 3.5.1). A
    batch is not filled up again after an attack, as the authors' code does.
    """
    first, second, third = (s.settings["num_steps"] for s in stages[:3])
    last = stages[-1].settings["num_queries"]
    classes = {"n_classes": twin[-1].out_features}
    return torchattacks.MultiAttack(
        [
            torchattacks.APGD(twin, steps=first, **how),
            torchattacks.APGDT(twin, steps=second, **classes, **how),
            torchattacks.FAB(
                twin, steps=third, multi_targeted=True, **classes, **how
            ),
            # The authors' AutoAttack keeps to the schedule of 10,000 queries;
            # torchattacks' does not.
            torchattacks.Square(
                twin, n_queries=last, resc_schedule=False, **how
            ),
        ]
    )


BUILDERS: dict[str, Callable[..., Any]] = {
    "pgd": _pgd, "apgd-ce": _apgd, "square": _square, "autoattack": _autoattack,
}  # fmt: skip
