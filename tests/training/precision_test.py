"""Which precision a machine is given, and that a run keeps it."""

import pytest

from tfgan_robust.training import precision
from tfgan_robust.training.precision import choose


@pytest.mark.parametrize(
    ("seconds", "name", "told"),
    [
        ((7.0, 1.0), "mixed_bfloat16", "7.0 times as fast"),
        ((1.6, 1.0), "mixed_bfloat16", "1.6 times"),
        ((1.4, 1.0), "float32", "1.4 times"),
        ((1.0, 3.0), "float32", "0.3 times"),
    ],
)
def test_a_cpu_is_timed(monkeypatch, seconds, name, told):
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", no_gpus)
    monkeypatch.setattr(precision, "_seconds", lambda *dtypes: seconds)
    chosen = choose("auto")
    assert chosen.name == name
    assert told in chosen.reason


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
def test_what_is_set_is_taken(monkeypatch, name):
    monkeypatch.setattr(precision, "_seconds", None)
    assert choose(name) == (name, "as set")


def test_this_machine_can_be_timed():
    assert choose("auto").name in ("float32", "mixed_bfloat16")
