"""Which precision this machine trains fastest in."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from tfgan_robust.networks.devices import bfloat16_units
from tfgan_robust.runs.stored import stored_precision

# NVIDIA's compute capability, from which on GPUs have units for bfloat16. What
# a device has decides, not how fast it was just now, so that equal commands
# train equal networks however busy the machine is.
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
        setting: Of `precision`; "auto" takes bfloat16 where the GPU, or
            without one the processor, has units for it.
    """
    if setting != "auto":
        return Precision(setting, "as set")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return _of_gpu(tf.config.experimental.get_device_details(gpus[0]))
    if units := bfloat16_units():
        return Precision(
            "mixed_bfloat16", f"this CPU has units for it ({units})"
        )
    return Precision("float32", "this CPU is no faster in bfloat16")


def continued(places: Iterable[Path], setting: str) -> Precision:
    """Returns that in which a run goes on as it began, on any machine.

    Args:
        places: Folders of the run and of those that it is compared with; what
            the first began with that is there counts.
        setting: See `choose`; counts if none has begun.
    """
    kept = next(filter(None, map(stored_precision, places)), {})
    chosen = choose(kept.get("name", setting))
    if "reason" in kept:
        return chosen._replace(reason=kept["reason"])
    return chosen


def _of_gpu(details: dict[str, object]) -> Precision:
    capability = details.get("compute_capability")
    if isinstance(capability, tuple) and capability >= _CAPABILITY:
        return Precision(
            "mixed_bfloat16", "this GPU has tensor cores for bfloat16"
        )
    return Precision("float32", "this GPU has no tensor cores for bfloat16")
