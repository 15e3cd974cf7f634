"""The batches of a run: in order, in parts, and how fast they come."""

import time
from typing import Any

import tensorflow as tf

from tfgan_robust.data.batches import training_batches
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import Split
from tfgan_robust.runs.config import TrainConfig

_TIMED_BATCHES = 20


def batches_of(
    config: TrainConfig, training: Split, **more: Any
) -> tf.data.Dataset:
    """Yields the batches of a run without end.

    Args:
        config: The run's settings.
        training: The images.
        **more: See `training_batches`.
    """
    flip = config.horizontal_flip
    if flip is None:
        flip = DATASETS[config.dataset].mirrored
    return training_batches(
        training,
        batch_size=config.batch_size,
        seed=config.seed,
        horizontal_flip=flip,
        max_shift=config.max_shift,
        **more,
    )


def distributed_batches(
    strategy: tf.distribute.Strategy,
    config: TrainConfig,
    training: Split,
    **more: Any,
) -> Any:
    """Returns each worker's own part of each batch, a piece for each device.

    Args:
        strategy: From `devices.configure`.
        config: The run's settings.
        training: The images.
        **more: See `training_batches`.
    """
    replicas = strategy.num_replicas_in_sync

    def read(context: tf.distribute.InputContext) -> tf.data.Dataset:
        workers = context.num_input_pipelines
        own = batches_of(
            config,
            training,
            part=(context.input_pipeline_id, workers),
            **more,
        )
        if replicas > workers:
            own = own.rebatch(config.batch_size // replicas)
        # Else workers would agree, in each step, that it has not ended.
        return own.apply(
            tf.data.experimental.assert_cardinality(
                tf.data.INFINITE_CARDINALITY
            )
        )

    return strategy.distribute_datasets_from_function(read)


def images_per_second(
    config: TrainConfig, training: Split, **more: Any
) -> float:
    """Returns how many images come if nothing is computed with them.

    Args:
        config: The run's settings.
        training: The images.
        **more: See `training_batches`.
    """
    batches = iter(batches_of(config, training, **more))
    next(batches)
    start = time.monotonic()
    for _ in range(_TIMED_BATCHES):
        next(batches)
    return _TIMED_BATCHES * config.batch_size / (time.monotonic() - start)
