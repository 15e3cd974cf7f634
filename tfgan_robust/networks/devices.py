"""What computes."""

import tensorflow as tf


def describe_devices(count: int | None = None) -> str:
    """Returns one line on what computes.

    Args:
        count: How many devices were asked for; None for all GPUs.
    """
    gpus = tf.config.list_physical_devices("GPU")[:count]
    if not gpus:
        return "CPU" if count in (None, 1) else f"{count} logical CPU devices"
    details = tf.config.experimental.get_device_details
    names = {details(gpu).get("device_name", "GPU") for gpu in gpus}
    return f"{len(gpus)} x {', '.join(sorted(names))}"
