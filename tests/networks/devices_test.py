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
    ("info", "described"),
    [
        (INFO, "Intel Xeon Processor, 3 cores, avx2 avx512f amx_bf16"),
        ("", "riscv, 3 cores"),
        (None, "riscv, 3 cores"),
    ],
)
def test_the_processor_is_named(monkeypatch, tmp_path, info, described):
    file = tmp_path / "cpuinfo"
    if info is not None:
        file.write_text(info)
    monkeypatch.setattr(devices, "_CPUINFO", file)
    monkeypatch.setattr(devices.platform, "processor", lambda: "riscv")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert devices.describe_processor() == described
    assert devices.describe_devices() == f"CPU ({described})"
    assert devices.describe_devices(2).startswith("2 logical CPU devices (")
