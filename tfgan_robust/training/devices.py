"""Chooses the devices of a run and how they compute."""

import keras
import tensorflow as tf

from tfgan_robust.errors import UsageError
from tfgan_robust.runs.config import TrainConfig


def configure(config: TrainConfig) -> tf.distribute.Strategy:
    """Sets up devices and determinism; call it before anything is computed.

    Args:
        config: The run's settings. With `num_devices` unset all GPUs are
            used; without a GPU, devices are logical parts of the CPU.

    Returns:
        A MirroredStrategy for several devices, else the default strategy.

    Raises:
        UsageError: if there are fewer GPUs than asked for, or TensorFlow
            was used before with another number of devices.
    """
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    count = config.num_devices or max(len(gpus), 1)
    if gpus and count > len(gpus):
        raise UsageError(
            f"`num_devices` exceeds the {len(gpus)} GPUs of this machine. "
            f"Received: num_devices={count}."
        )
    if gpus and config.deterministic and config.jit_compile == "true":
        raise UsageError(
            "XLA has no deterministic max-pooling gradient for a GPU. "
            "Received: deterministic with jit_compile=true."
        )
    if count == 1:
        return tf.distribute.get_strategy()
    # Checks what depends on the number of devices, known only now.
    config.replace(num_devices=count)
    if not gpus:
        _split_cpu(count)
    kind = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy(
        [f"{kind}:{index}" for index in range(count)]
    )


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise UsageError(
                f"The CPU cannot be split into {count} devices any more, as "
                "TensorFlow has started. Do it first in a fresh process."
            ) from None
