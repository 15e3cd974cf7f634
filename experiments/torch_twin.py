"""The paper's classifier in PyTorch, and torchattacks' attacks on it.

Needs the packages that `benchmark_attacks.py` names.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
import torchattacks
from torch import nn

from tfgan_robust.attack_plan import AttackPlan

# Of a logit.
LARGEST_DIFFERENCE = 1e-4

# From a batch of images and labels to attacked images.
Attack = Callable[[np.ndarray, np.ndarray], np.ndarray]


class _FlattenAsKeras(nn.Module):
    """Flattens with the channels last, as the dense layer's weights expect."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From [batch, channels, height, width] to [batch, features]."""
        return x.permute(0, 2, 3, 1).flatten(1)


def torch_twin(model: keras.Model) -> nn.Module:
    """Ports a plain chain of layers, such as `networks.build_classifier`.

    Args:
        model: From float32 [batch, height, width, channels] in [0, 1] to
            [batch, num_classes].

    Returns:
        The same in inference mode, from [batch, channels, height, width], with
        weights that take no gradients.

    Raises:
        ValueError: for a layer that has no port here.
    """
    layers = [part for layer in model.layers for part in _port(layer)]
    # Weights in this layout make PyTorch use it throughout, its fastest on a
    # CPU. Images must keep the usual one: attacks reshape them by `view`.
    twin = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    # Attacks need the gradient of the image alone; this spares PyTorch the
    # weights' gradients, which FAB would have it compute as well.
    return twin.eval().requires_grad_(False)


def largest_difference(
    model: keras.Model, twin: nn.Module, images: np.ndarray
) -> float:
    """Returns the largest difference of a logit.

    Args:
        model: The original.
        twin: Its port.
        images: float32 [batch, height, width, channels] in [0, 1].
    """
    logits = np.asarray(model.predict(images, verbose=0))
    with torch.no_grad():
        ported = twin(to_torch(images)).numpy()
    return float(np.abs(logits - ported).max())


def attacks_on_twin(
    model: keras.Model, images: np.ndarray, *, eps: float, seed: int
) -> dict[str, Callable[[AttackPlan], Attack]]:
    """Returns torchattacks' attacks, by our names without their budgets.

    Its AutoAttack takes 10 steps and cannot be told otherwise; this builds the
    same from the same parts, with the budgets of arXiv:2003.01690. Read in the
    source of version 3.5.1: first step sizes, checkpoints, rho, eta, beta,
    alpha_max, starts and targets are the published ones. It differs from the
    authors' code where every batch starts from the same seed, and where each
    attack gets what is left of a batch, which is never filled up again.

    Args:
        model: The classifier.
        images: float32 [n, height, width, channels] in [0, 1]; both networks
            are compared on them.
        eps: Radius.
        seed: Of everything that is drawn.

    Raises:
        ValueError: if the model cannot be ported.
    """
    twin = torch_twin(model)
    difference = largest_difference(model, twin, images)
    print(f"largest difference of a logit in PyTorch: {difference:.2g}")
    if not difference <= LARGEST_DIFFERENCE:
        raise ValueError("The port to PyTorch answers differently.")
    common = {"eps": eps, "seed": seed}
    classes = {"n_classes": model.output_shape[-1]}

    def pgd(plan: AttackPlan) -> Any:
        (stage,) = plan.stages
        step_size = stage.resolved_step_size(eps)
        return torchattacks.PGD(twin, eps, step_size, stage.num_steps)

    def apgd(plan: AttackPlan) -> Any:
        return torchattacks.APGD(twin, steps=plan.stages[0].num_steps, **common)

    def square(plan: AttackPlan) -> Any:
        # The schedule is made to fit the budget, as by ART and by us.
        return torchattacks.Square(
            twin, n_queries=plan.stages[0].num_steps, **common
        )

    def autoattack(plan: AttackPlan) -> Any:
        ce, targeted, fab, queries = (s.num_steps for s in plan.stages)
        return torchattacks.MultiAttack(
            [
                torchattacks.APGD(twin, steps=ce, **common),
                torchattacks.APGDT(twin, steps=targeted, **classes, **common),
                torchattacks.FAB(
                    twin, steps=fab, multi_targeted=True, **classes, **common
                ),
                # The authors' AutoAttack keeps to the schedule of 10,000
                # queries; torchattacks by default does not.
                torchattacks.Square(
                    twin, n_queries=queries, resc_schedule=False, **common
                ),
            ]
        )

    def on_numpy(
        build: Callable[[AttackPlan], Any], plan: AttackPlan
    ) -> Attack:
        torch.manual_seed(seed)
        attack = build(plan)
        return lambda images, labels: to_numpy(
            attack(to_torch(images), torch.from_numpy(labels))
        )

    builders = {
        "pgd": pgd, "apgd-ce": apgd, "square": square, "autoattack": autoattack,
    }  # fmt: skip
    return {
        family: functools.partial(on_numpy, build)
        for family, build in builders.items()
    }


def to_torch(images: np.ndarray) -> torch.Tensor:
    """Returns images as float32 [batch, channels, height, width].

    Args:
        images: float32 [batch, height, width, channels].
    """
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def to_numpy(images: torch.Tensor) -> np.ndarray:
    """Undoes `to_torch`."""
    return np.ascontiguousarray(images.detach().permute(0, 2, 3, 1).numpy())


def _port(layer: keras.Layer) -> list[nn.Module]:
    """Returns what a layer becomes in inference mode."""
    if isinstance(layer, keras.layers.InputLayer | keras.layers.Dropout):
        return []
    if isinstance(layer, keras.layers.ReLU) and _is_plain_relu(layer):
        return [nn.ReLU()]
    if isinstance(layer, keras.layers.Flatten):
        return [_FlattenAsKeras()]
    if isinstance(layer, keras.layers.MaxPooling2D) and (
        layer.padding == "valid"
    ):
        return [nn.MaxPool2d(layer.pool_size, layer.strides)]
    if isinstance(layer, keras.layers.Conv2D) and _is_plain(layer):
        return [_convolution(layer)]
    if isinstance(layer, keras.layers.BatchNormalization):
        return [_normalisation(layer)]
    if isinstance(layer, keras.layers.Dense) and _is_linear(layer):
        return [_dense(layer)]
    raise ValueError(f"There is no port of the layer {layer.name}.")


def _is_plain(layer: keras.layers.Conv2D) -> bool:
    return (
        _is_linear(layer)
        and layer.padding == "same"
        and layer.groups == 1
        and set(layer.strides) == {1}
        # With one stride and an odd kernel both pad all sides alike.
        and all(side % 2 for side in layer.kernel_size)
    )


def _is_linear(layer: keras.Layer) -> bool:
    return bool(layer.activation is keras.activations.linear)


def _is_plain_relu(layer: keras.layers.ReLU) -> bool:
    return (
        layer.max_value is None
        and not layer.negative_slope
        and not layer.threshold
    )


def _convolution(layer: keras.layers.Conv2D) -> nn.Module:
    _, _, inputs, filters = layer.kernel.shape
    ported = nn.Conv2d(
        inputs, filters, layer.kernel_size,
        padding="same", dilation=layer.dilation_rate, bias=layer.use_bias,
    )  # fmt: skip
    _set(ported.weight, np.transpose(layer.kernel, (3, 2, 0, 1)))
    if layer.use_bias:
        _set(ported.bias, layer.bias)
    return ported


def _normalisation(layer: keras.layers.BatchNormalization) -> nn.Module:
    ported = nn.BatchNorm2d(layer.moving_mean.shape[0], eps=layer.epsilon)
    _set(ported.running_mean, layer.moving_mean)
    _set(ported.running_var, layer.moving_variance)
    # The module starts with a gain of 1 and an offset of 0.
    if layer.scale:
        _set(ported.weight, layer.gamma)
    if layer.center:
        _set(ported.bias, layer.beta)
    return ported


def _dense(layer: keras.layers.Dense) -> nn.Module:
    inputs, units = layer.kernel.shape
    ported = nn.Linear(inputs, units, bias=layer.use_bias)
    _set(ported.weight, np.transpose(layer.kernel))
    if layer.use_bias:
        _set(ported.bias, layer.bias)
    return ported


def _set(target: torch.Tensor, value: object) -> None:
    with torch.no_grad():
        # Copied: what Keras hands out must not be written to.
        target.copy_(torch.from_numpy(np.array(value, np.float32)))
