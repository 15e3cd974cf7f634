"""The paper's classifier in PyTorch.

Needs `torch` of `requirements-bench.txt`.
"""

import keras
import numpy as np
import torch
from torch import nn


class _FlattenAsKeras(nn.Module):
    """Flattens with the channels last, as the dense layer's weights expect."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From [batch, channels, height, width] to [batch, features]."""
        return x.permute(0, 2, 3, 1).flatten(1)


def torch_twin(model: keras.Model, *, trainable: bool = False) -> nn.Module:
    """Ports a plain chain of layers, such as `networks.vgg.build_vgg`.

    Args:
        model: From float32 [batch, height, width, channels] in [0, 1] to
            [batch, num_classes], without dropout if it is to be trained.
        trainable: Whether it is in training mode, with gradients of its
            weights.

    Returns:
        The same, from [batch, channels, height, width]; unless `trainable` in
        inference mode, with weights that take no gradients.

    Raises:
        ValueError: for a layer that has no port here.
    """
    layers = [part for layer in model.layers for part in _port(layer)]
    # Weights in this layout make PyTorch use it throughout, its fastest on a
    # CPU. Images must keep the usual one: attacks reshape them by `view`.
    twin = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    if trainable:
        return twin.train()
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
