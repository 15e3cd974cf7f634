"""Which precision a machine is given."""

import json

import pytest

from tfgan_robust.networks import devices
from tfgan_robust.training import precision
from tfgan_robust.training.precision import choose, continued

TILES, DOTS = "(amx_bf16)", "(avx512_bf16 of AMD)"
NONE = "no faster in bfloat16"


@pytest.mark.parametrize(
    ("vendor", "flags", "name", "reason"),
    [
        ("GenuineIntel", "avx512_bf16 amx_bf16", "mixed_bfloat16", TILES),
        ("AuthenticAMD", "avx512f avx512_bf16", "mixed_bfloat16", DOTS),
        ("AuthenticAMD", "avx2 avx512f", "float32", NONE),
        ("GenuineIntel", "avx512f avx512_bf16", "float32", NONE),
        ("GenuineIntel", "", "float32", NONE),
    ],
)
def test_a_cpu_is_judged_by_what_it_has(
    monkeypatch, tmp_path, vendor, flags, name, reason
):
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", no_gpus)
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n")
    monkeypatch.setattr(devices, "_CPUINFO", cpuinfo)
    chosen = choose("auto")
    assert chosen.name == name
    assert reason in chosen.reason


def test_a_system_that_does_not_tell_trains_in_float32(monkeypatch, tmp_path):
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", no_gpus)
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "none")
    assert choose("auto").name == "float32"


def no_gpus(kind=None):
    return []


@pytest.mark.parametrize(
    ("details", "name"),
    [
        ({"compute_capability": (9, 0)}, "mixed_bfloat16"),
        ({"compute_capability": (8, 0)}, "mixed_bfloat16"),
        ({"compute_capability": (7, 5)}, "float32"),
        ({}, "float32"),
    ],
)
def test_a_gpu_is_asked(monkeypatch, details, name):
    config = precision.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: ["GPU"])
    monkeypatch.setattr(
        config.experimental, "get_device_details", lambda gpu: details
    )
    assert choose("auto").name == name


@pytest.mark.parametrize("name", ["float32", "mixed_float16"])
def test_what_is_set_is_taken(name):
    assert choose(name) == (name, "as set")


def test_a_run_goes_on_as_it_began(monkeypatch, tmp_path):
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", no_gpus)
    monkeypatch.setattr(precision, "bfloat16_units", lambda: "")
    there = {"name": "mixed_bfloat16", "reason": "this CPU has units for it"}
    for name, stored in (
        ("begun", {"precision": there}),
        # As written before reasons were.
        ("older", {"settings": {"precision": "float16"}}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(stored))
    new, begun, older = (tmp_path / n for n in ("new", "begun", "older"))
    assert continued([new], "auto").name == "float32"
    assert continued([], "mixed_bfloat16") == ("mixed_bfloat16", "as set")
    for places in ([begun], [new, begun], [begun, older]):
        assert continued(places, "auto")._asdict() == there
    assert continued([older, begun], "auto").name == "float16"
