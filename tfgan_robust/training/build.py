"""Puts networks, optimizers and configuration together into one model."""

import dataclasses

import keras
import tensorflow as tf

from tfgan_robust.attacks import formulations
from tfgan_robust.classifiers.loading import load_trainable
from tfgan_robust.classifiers.trainable import check_trainable
from tfgan_robust.errors import UsageError
from tfgan_robust.lazy import load
from tfgan_robust.methods.generator_settings import GeneratorNetworkSettings
from tfgan_robust.methods.registry import settings_of
from tfgan_robust.networks.logits import compute_dtypes, normalisations
from tfgan_robust.networks.policy import under_policy
from tfgan_robust.networks.pretrained import locate
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.networks.substitutes import substituted
from tfgan_robust.networks.widening import not_float32
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.training import optimizers
from tfgan_robust.training.model import AdversarialClassifier
from tfgan_robust.training.precision import choose
from tfgan_robust.training.refinements import Refinements


def build_model(
    config: TrainConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    total_steps: int | None = None,
    num_images: int = 0,
    classifier: keras.Model | None = None,
) -> AdversarialClassifier:
    """Builds and compiles the model that a configuration describes.

    Weights are a function of `config.seed` alone. Call it inside the scope of
    a `tf.distribute.Strategy` to train on several devices.

    Args:
        config: The run's settings.
        image_shape: Height, width, channels of the images.
        num_classes: Number of classes.
        total_steps: Steps of the whole run, of which schedules are shares.
            Without it nothing that is such a share happens: learning rates
            are constant from the first step on, the radius is `eps`, and
            weights, if so, are perturbed at once.
        num_images: How many training images there are, for methods that
            remember them.
        classifier: Any Keras model from float32 [batch, height, width,
            channels] in [0, 1] to logits [batch, num_classes], to be trained
            itself in place of the one that `config.classifier` names. It
            keeps the precision that it was built with; `config.precision` is
            that of the others.

    Returns:
        A compiled model, ready for `fit`.

    Raises:
        UsageError: if the networks cannot take such images, or see
            `check_trainable`.

    Example:
        >>> import tfgan_robust as tr
        >>> narrow = {"classifier_width": 0.1, "formulation": "grad_x"}
        >>> config = tr.resolve(narrow)
        >>> model = build_model(config, (32, 32, 3), 10)
        >>> model.classifier.output_shape, len(model.generators)
        ((None, 10), 2)
    """
    config = config.replace(precision=choose(config.precision).name)
    keras.utils.set_random_seed(config.seed)
    with under_policy(config.precision):
        if classifier is None:
            classifier = _build_classifier(config, image_shape, num_classes)
        _synchronise(classifier)
        check_trainable(classifier, image_shape, num_classes)
        _check_precision(config, classifier)
        generators = _build_generators(config, image_shape)
        model = AdversarialClassifier(
            classifier,
            generators,
            method=config.method,
            settings=settings_of(config.method, dataclasses.asdict(config)),
            eps=config.eps,
            seed=config.seed,
            refinements=Refinements.of(config, total_steps),
            remembered=num_images,
            name="adversarial_classifier",
        )
    # In turn with the classifier, generators may learn several times a step.
    updates = total_steps and total_steps * max(
        1, model.method.separate_updates
    )
    model.compile(
        optimizers.of_classifier(config, total_steps),
        [optimizers.of_generator(config, updates) for _ in generators],
        jit_compile=config.jit_compile == "true",
    )
    return model


def _synchronise(classifier: keras.Model) -> None:
    """Lets batch normalisation see a batch whole, whoever has parts of it.

    Results would depend on how many devices there are. The project's networks
    do so anyway.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        for layer in normalisations(classifier):
            layer.synchronized = True


def _build_classifier(
    config: TrainConfig, image_shape: tuple[int, int, int], num_classes: int
) -> keras.Model:
    if config.classifier not in NETWORKS:
        with substituted():
            path = locate(config.classifier)
            return load_trainable(path, config.precision)
    build = load(NETWORKS[config.classifier].build)
    classifier = build(image_shape, num_classes, **config.network_settings)
    if not isinstance(classifier, keras.Model):
        raise UsageError(
            f"The builder of network {config.classifier} must return a "
            f"keras.Model. Received: {type(classifier).__name__}."
        )
    return classifier


def _check_precision(config: TrainConfig, classifier: keras.Model) -> None:
    others = not_float32(classifier.trainable_variables)
    if others:
        raise UsageError(
            "A classifier is trained with float32 variables; build it in "
            "float32 or mixed_bfloat16, or save it and name the file by "
            f"`classifier`. Received: variables of {', '.join(sorted(others))}."
        )
    scaled = config.precision == "mixed_float16"
    if "float16" in compute_dtypes(classifier) and not scaled:
        raise UsageError(
            "A classifier that computes in float16 needs loss scaling, "
            "`precision=mixed_float16`. Received: "
            f"precision={config.precision}."
        )


def _build_generators(
    config: TrainConfig, image_shape: tuple[int, int, int]
) -> list[keras.Model]:
    if not isinstance(config, GeneratorNetworkSettings):
        return []
    channels = formulations.input_channels(
        config.formulation, image_shape[-1], config.latent_channels
    )
    return [
        load(config.build_network)(
            image_shape,
            channels,
            name=f"generator_{index}",
            **config.network_options,
        )
        for index in range(config.num_networks)
    ]
