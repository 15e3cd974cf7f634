"""The classifier networks by name; needs no TensorFlow."""

import dataclasses
from typing import Any

from tfgan_robust.cli.fields import setting
from tfgan_robust.registry import Registry

_NETWORKS = "Networks"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The settings of a network; subclasses add fields."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvolutionalSettings(NetworkSettings):
    """Of networks of convolutions and batch normalisation."""

    classifier_width: float = setting(
        1.0,
        "Scales the classifier's filters: 64-128-256-256 of vgg, "
        "64-128-256-512 of resnet18, 64-128 and 256 features of vit.",
        group=_NETWORKS,
        above=0,
        maximum=16,
    )
    batchnorm_momentum: float = setting(
        0.9,
        "Momentum of the moving averages of batch normalisation.",
        group=_NETWORKS,
        minimum=0,
        maximum=0.9999,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VGGSettings(ConvolutionalSettings):
    """Of the paper's dropout VGG."""

    dropout_scale: float = setting(
        0.0,
        "Scales the paper's dropout rates, 0.3 and 0.4.",
        group=_NETWORKS,
        minimum=0,
        maximum=2,
    )


@dataclasses.dataclass(frozen=True)
class Network:
    """One kind of classifier.

    Attributes:
        build: From the shape of an image (height, width, channels), the
            number of classes and the settings as keyword arguments to a
            Keras model of logits; the function or its name.
        help: A few words.
        settings: What `build` can be told, a subclass of `NetworkSettings`.
    """

    build: Any
    help: str
    settings: type[NetworkSettings] = NetworkSettings


NETWORKS: Registry[Network] = Registry("classifier")
NETWORKS.add(
    "vgg",
    Network(
        "tfgan_robust.networks.vgg:build_vgg",
        "the paper's dropout VGG (Table 1)",
        VGGSettings,
    ),
)
NETWORKS.add(
    "resnet18",
    Network(
        "tfgan_robust.networks.resnet18:build_resnet18",
        "pre-activation ResNet-18 (arXiv:1603.05027)",
        ConvolutionalSettings,
    ),
)
NETWORKS.add(
    "vit",
    Network(
        "tfgan_robust.networks.vit:build_vit",
        "small vision transformer, convolutional stem (arXiv:2106.14881)",
        ConvolutionalSettings,
    ),
)
