"""Which precision this machine trains fastest in."""

import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# bfloat16 rounds more: it must pay. Where processors have units for it
# convolutions run several times as fast, elsewhere rather slower.
_WORTH = 1.5
_BATCH, _SIDE, _CHANNELS, _TRIES = 32, 16, 64, 30
# Tensor cores for bfloat16 (NVIDIA's compute capability).
_CAPABILITY = (8, 0)


class Precision(NamedTuple):
    """A precision, and why.

    Attributes:
        name: Of a Keras dtype policy.
        reason: A sentence's end.
    """

    name: str
    reason: str


def choose(setting: str) -> Precision:
    """Decides between float32 and bfloat16.

    Args:
        setting: Of `precision`; "auto" looks at the machine: at what its GPU
            is, or how fast its CPU runs a convolution in both.
    """
    if setting != "auto":
        return Precision(setting, "as set")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return _of_gpu(tf.config.experimental.get_device_details(gpus[0]))
    exact, lower = _seconds(tf.float32, tf.bfloat16)
    ratio = exact / lower
    name = "mixed_bfloat16" if ratio >= _WORTH else "float32"
    return Precision(
        name,
        f"this CPU runs convolutions in bfloat16 {ratio:.1f} times as fast as "
        "in float32",
    )


def _of_gpu(details: dict[str, object]) -> Precision:
    capability = details.get("compute_capability")
    if isinstance(capability, tuple) and capability >= _CAPABILITY:
        return Precision(
            "mixed_bfloat16", "this GPU has tensor cores for bfloat16"
        )
    return Precision("float32", "this GPU has no tensor cores for bfloat16")


def _seconds(*dtypes: tf.DType) -> list[float]:
    """The least time of a convolution in each type.

    Taken in turn and often, since other programs may slow each of them.
    """
    looks = [_convolution(dtype) for dtype in dtypes]
    times: list[list[float]] = [[] for _ in dtypes]
    for _ in range(_TRIES):
        for look, taken in zip(looks, times, strict=True):
            start = time.perf_counter()
            look().numpy()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def _convolution(dtype: tf.DType) -> Callable[[], tf.Tensor]:
    images = tf.ones([_BATCH, _SIDE, _SIDE, _CHANNELS], dtype)
    kernel = tf.ones([3, 3, _CHANNELS, _CHANNELS], dtype)
    return tf.function(
        lambda: tf.nn.conv2d(images + 1, kernel, 1, "SAME"), autograph=False
    )
