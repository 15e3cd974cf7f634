"""A training step in PyTorch, of the same network.

Needs `torch` of `requirements-bench.txt`.
"""

from collections.abc import Callable

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.peers.torch_twin import to_torch, torch_twin


def torch_step(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    num_steps: int,
    eps: float,
    step_size: float,
    bfloat16: bool,
) -> Callable[[], None]:
    """Returns a step of SGD on perturbed images, or clean ones; warm.

    Images and weights have their channels last, PyTorch's fastest layout on
    processors with units for matrices, and attacks see the network in
    inference mode and take no gradients of weights, as ours do.

    Args:
        model: What is trained, without dropout.
        images: float32 [batch, height, width, channels] in [0, 1].
        labels: Integer [batch].
        num_steps: Of the attack by which images are perturbed, from a random
            start; with 0 they are seen clean.
        eps: Its radius.
        step_size: Its steps.
        bfloat16: Whether convolutions compute in bfloat16 (autocast).
    """
    network = torch_twin(model, trainable=True)
    clean = to_torch(images).contiguous(memory_format=torch.channels_last)
    truth = torch.from_numpy(np.asarray(labels, np.int64))
    optimizer = torch.optim.SGD(
        network.parameters(), 0.1, momentum=0.9, nesterov=True,
        weight_decay=5e-4,
    )  # fmt: skip

    def loss_of(batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = network(batch)
        return functional.cross_entropy(logits.float(), truth)

    def attack() -> torch.Tensor:
        _set_attacked(network, attacked=True)
        noise = torch.empty_like(clean).uniform_(-eps, eps)
        here = (clean + noise).clamp(0, 1)
        for _ in range(num_steps):
            here.requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss_of(here), here)
            moved = here.detach() + step_size * gradient.sign()
            here = torch.clamp(moved, clean - eps, clean + eps).clamp(0, 1)
        _set_attacked(network, attacked=False)
        return here

    def run() -> None:
        loss = loss_of(attack() if num_steps else clean)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    run()
    return run


def _set_attacked(network: nn.Module, *, attacked: bool) -> None:
    network.train(not attacked)
    network.requires_grad_(not attacked)
