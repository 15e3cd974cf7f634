"""Chooses the devices of a run and how they compute."""

import keras
import tensorflow as tf

from tfgan_robust.errors import TfganRobustError, UsageError, in_one_line
from tfgan_robust.networks.devices import grow_memory
from tfgan_robust.runs.cluster import Cluster
from tfgan_robust.runs.config import TrainConfig


def count_devices(config: TrainConfig) -> int:
    """Returns on how many devices of this machine a run computes.

    Args:
        config: The run's settings. With `num_devices` unset all GPUs are
            used, one by the strategy "single".

    Raises:
        UsageError: if there are fewer GPUs than asked for.
    """
    gpus = tf.config.list_physical_devices("GPU")
    every = 1 if config.strategy == "single" else len(gpus)
    count = config.num_devices or max(every, 1)
    if gpus and count > len(gpus):
        raise UsageError(
            f"`num_devices` exceeds the {len(gpus)} GPUs of this machine. "
            f"Received: num_devices={count}."
        )
    return count


def name_devices(config: TrainConfig) -> str:
    """Returns on what a run computes on this machine, such as "2 GPU".

    Raises:
        UsageError: see `count_devices`.
    """
    return f"{count_devices(config)} {_kind()}"


def _kind() -> str:
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def configure(
    config: TrainConfig, cluster: Cluster | None = None
) -> tf.distribute.Strategy:
    """Sets up devices and determinism; call it before anything is computed.

    Args:
        config: The run's settings. Without a GPU, devices are logical parts
            of the CPU.
        cluster: The machines that train together; None for this one alone.

    Returns:
        A MultiWorkerMirroredStrategy for several machines, a
        MirroredStrategy for several devices, else the default strategy.

    Raises:
        UsageError: if there are fewer GPUs than asked for, the settings do
            not go with so many devices, or TensorFlow was used before with
            another number of devices.
        TfganRobustError: if TensorFlow cannot reach the other machines.
    """
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    grow_memory()
    count = count_devices(config)
    if gpus and config.deterministic and config.jit_compile == "true":
        raise UsageError(
            "XLA has no deterministic max-pooling gradient for a GPU. "
            "Received: deterministic with jit_compile=true."
        )
    if cluster is not None:
        return _over_machines(config, cluster, count)
    if count == 1 and config.strategy != "mirrored":
        return tf.distribute.get_strategy()
    # Checks what depends on the number of devices, known only now.
    config.replace(num_devices=count)
    if not gpus:
        _split_cpu(count)
    kind = _kind()
    return tf.distribute.MirroredStrategy(
        [f"{kind}:{index}" for index in range(count)]
    )


def check_devices(config: TrainConfig, cluster: Cluster, count: int) -> None:
    """Refuses settings that do not go with the devices of several machines.

    Args:
        config: The run's settings.
        cluster: The machines.
        count: Devices of each.

    Raises:
        UsageError: saying what to change.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if count > 1 and not gpus:
        raise UsageError(
            "Without a GPU a machine of several trains on one device. "
            f"Received: num_devices={count}."
        )
    workers = len(cluster.addresses)
    received = f"{workers} workers of {count} devices each"
    for wrong, remedy in config.problems_of_devices(workers * count, received):
        if wrong:
            raise UsageError(remedy)


def _over_machines(
    config: TrainConfig, cluster: Cluster, count: int
) -> tf.distribute.Strategy:
    check_devices(config, cluster, count)
    gpus = tf.config.list_physical_devices("GPU")
    # This strategy takes all that it sees.
    tf.config.set_visible_devices(gpus[:count], "GPU")
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise TfganRobustError(
            f"TensorFlow cannot train on {len(cluster.addresses)} machines "
            f"from {cluster.name(cluster.index)}: {in_one_line(error)}."
        ) from None


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
