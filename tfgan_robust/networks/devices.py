"""What computes."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

# What decides how fast a processor's convolutions are, and in which precision.
_DOT_PRODUCTS, _TILES = "avx512_bf16", "amx_bf16"
_INSTRUCTIONS = ("avx2", "avx512f", _DOT_PRODUCTS, _TILES)
_CPUINFO = Path("/proc/cpuinfo")


def grow_memory() -> None:
    """Lets a process take of a GPU's memory only what it needs.

    Others of an evaluation, or of a training, need some too. Without effect
    once something was computed there.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Turns TensorFloat-32 off, which rounds to a thousandth."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)


def describe_devices(count: int | None = None) -> str:
    """Returns one line on what computes.

    Args:
        count: How many devices were asked for; None for all GPUs.
    """
    gpus = tf.config.list_physical_devices("GPU")[:count]
    if not gpus:
        devices = (
            "CPU" if count in (None, 1) else f"{count} logical CPU devices"
        )
        return f"{devices} ({describe_processor()})"
    details = tf.config.experimental.get_device_details
    names = {details(gpu).get("device_name", "GPU") for gpu in gpus}
    return f"{len(gpus)} x {', '.join(sorted(names))}"


def describe_processor() -> str:
    """Returns the processor, its cores that are at hand, and instructions.

    Such as "Intel Xeon Processor, 2 cores, avx2 avx512f amx_bf16"; where the
    system does not tell, what Python knows of it.
    """
    name = _facts().get("model name") or platform.processor() or "unknown"
    parts = [
        name.replace("(R)", "").replace("(TM)", ""),
        _cores(),
        " ".join(instructions()),
    ]
    return ", ".join(filter(None, parts))


def _cores() -> str:
    count = os.cpu_count() or 1
    # Of Linux alone; `taskset` and schedulers lend some of them.
    lent = getattr(os, "sched_getaffinity", None)
    at_hand = len(lent(0)) if lent else count
    some = f"{at_hand} of " if at_hand < count else ""
    return f"{some}{count} core{'s' if count > 1 else ''}"


def instructions() -> list[str]:
    """Returns those of the processor that convolutions gain from.

    Such as ["avx2", "avx512f"]; none where the system does not tell.
    """
    flags = _facts().get("flags", "").split()
    return [flag for flag in _INSTRUCTIONS if flag in flags]


def bfloat16_units() -> str:
    """Names what of the processor computes bfloat16 faster than float32.

    Such as "amx_bf16"; empty where it has nothing. Intel's processors have
    instructions for it that are no faster, AMD's have them from Zen 4 on and
    are.
    """
    found = instructions()
    if _TILES in found:
        return _TILES
    amd = _facts().get("vendor_id") == "AuthenticAMD"
    return f"{_DOT_PRODUCTS} of AMD" if amd and _DOT_PRODUCTS in found else ""


def _facts() -> dict[str, str]:
    """What the system says of the first processor, by name."""
    facts: dict[str, str] = {}
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    return facts
