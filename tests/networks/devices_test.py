"""What is said of the machine beside each figure."""

import os

import pytest

from tfgan_robust.networks import devices

INFO = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu sse2 avx2 avx512f amx_bf16 amx_tile

processor\t: 1
model name\t: another
flags\t\t: fpu
"""


@pytest.mark.parametrize(
    ("info", "lent", "described"),
    [
        (INFO, 3, "Intel Xeon Processor, 3 cores, avx2 avx512f amx_bf16"),
        ("", 3, "riscv, 3 cores"),
        (None, None, "riscv, 3 cores"),
        ("", 1, "riscv, 1 of 3 cores"),
    ],
)
def test_the_processor_is_named(monkeypatch, tmp_path, info, lent, described):
    file = tmp_path / "cpuinfo"
    if info is not None:
        file.write_text(info)
    monkeypatch.setattr(devices, "_CPUINFO", file)
    monkeypatch.setattr(devices.platform, "processor", lambda: "riscv")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    if lent is None:  # The system does not tell.
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        own = set(range(lent))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: own)
    assert devices.describe_processor() == described
    assert devices.describe_devices() == f"CPU ({described})"
    assert devices.describe_devices(2).startswith("2 logical CPU devices (")
