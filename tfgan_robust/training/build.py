"""Puts networks, optimizers and configuration together into one model."""

import dataclasses

import keras

from tfgan_robust.attacks import formulations
from tfgan_robust.methods.registry import settings_of
from tfgan_robust.networks import vgg
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.training.model import AdversarialClassifier


def build_model(
    config: TrainConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    total_steps: int = 1,
) -> AdversarialClassifier:
    """Builds and compiles the model that a configuration describes.

    Weights are a function of `config.seed` alone. Call it inside the scope of
    a `tf.distribute.Strategy` to train on several devices.

    Args:
        config: The run's settings.
        image_shape: Height, width, channels of the images.
        num_classes: Number of classes.
        total_steps: Steps of the whole run, over which a cosine schedule
            decays.

    Returns:
        A compiled model, ready for `fit`.

    Raises:
        UsageError: if the networks cannot take such images.
    """
    keras.utils.set_random_seed(config.seed)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        classifier = vgg.build_classifier(
            image_shape,
            num_classes,
            width=config.classifier_width,
            dropout_scale=config.dropout_scale,
            batchnorm_momentum=config.batchnorm_momentum,
        )
        generators = _build_generators(config, image_shape)
        model = AdversarialClassifier(
            classifier,
            generators,
            method=config.method,
            settings=settings_of(config.method, dataclasses.asdict(config)),
            eps=config.eps,
            seed=config.seed,
            name="adversarial_classifier",
        )
    finally:
        keras.config.set_dtype_policy(previous)
    model.compile(
        _adam(config, config.classifier_learning_rate, total_steps),
        [
            _adam(config, config.generator_learning_rate, total_steps)
            for _ in generators
        ],
        jit_compile=config.jit_compile == "true",
    )
    return model


def _build_generators(
    config: TrainConfig, image_shape: tuple[int, int, int]
) -> list[keras.Model]:
    if config.method != "gan":
        return []
    channels = formulations.input_channels(
        config.formulation, image_shape[-1], config.latent_channels
    )
    return [
        vgg.build_generator(
            image_shape,
            channels,
            width=config.generator_width,
            gradient_skip=config.gradient_skip,
            name=f"generator_{index}",
        )
        for index in range(config.num_generators)
    ]


def _adam(
    config: TrainConfig, learning_rate: float, total_steps: int
) -> keras.Optimizer:
    schedule: float | keras.optimizers.schedules.LearningRateSchedule
    schedule = learning_rate
    if config.learning_rate_schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate, total_steps
        )
    adam = keras.optimizers.Adam(
        schedule, beta_1=config.beta_1, beta_2=config.beta_2
    )
    if config.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam
