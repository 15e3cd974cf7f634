"""Which devices a run computes on, as machines and settings have it."""

import pytest
import tensorflow as tf

from tfgan_robust.errors import UsageError
from tfgan_robust.runs.cluster import Cluster
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training import devices, session

TWO = Cluster(("host0:2222", "host1:2222"), 0)


@pytest.fixture
def gpus(monkeypatch):
    """Lets the machine have so many GPUs; returns strategies' devices."""
    built, real = [], tf.config.list_physical_devices

    def have(count):
        def listed(kind):
            if kind == "GPU":
                return [f"GPU:{number}" for number in range(count)]
            return real(kind)

        monkeypatch.setattr(tf.config, "list_physical_devices", listed)
        return built

    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda *_: None
    )
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", built.append)
    return have


def settings(**given):
    return resolve({"dataset": "digits", "batch_size": 96, **given})


@pytest.mark.parametrize(
    ("there", "given", "named"),
    [
        (0, {}, "1 CPU"),
        (0, {"num_devices": 2}, "2 CPU"),
        (1, {}, "1 GPU"),
        (3, {}, "3 GPU"),
        (3, {"num_devices": 2}, "2 GPU"),
        (3, {"strategy": "mirrored"}, "3 GPU"),
        (3, {"strategy": "multi_worker"}, "3 GPU"),
        (3, {"strategy": "single"}, "1 GPU"),
        (0, {"strategy": "single"}, "1 CPU"),
        (0, {"strategy": "mirrored"}, "1 CPU"),
    ],
)
def test_devices_are_all_gpus_or_those_asked_for(gpus, there, given, named):
    gpus(there)
    assert devices.name_devices(settings(**given)) == named


def test_more_gpus_than_there_are_are_refused(gpus):
    gpus(2)
    with pytest.raises(UsageError, match="exceeds the 2 GPUs.*num_devices=3"):
        devices.count_devices(settings(num_devices=3))


@pytest.mark.parametrize(
    ("there", "given", "expected"),
    [
        (3, {}, ["GPU:0", "GPU:1", "GPU:2"]),
        (3, {"strategy": "mirrored", "num_devices": 2}, ["GPU:0", "GPU:1"]),
        (1, {"strategy": "mirrored"}, ["GPU:0"]),
        (0, {"strategy": "mirrored"}, ["CPU:0"]),
        # As many as the tests' CPU is divided into.
        (0, {"strategy": "mirrored", "num_devices": 2}, ["CPU:0", "CPU:1"]),
    ],
)
def test_several_devices_are_mirrored(gpus, there, given, expected):
    built = gpus(there)
    devices.configure(settings(deterministic=False, **given))
    assert built == [expected]


@pytest.mark.parametrize("there", [0, 3])
def test_a_single_device_is_not_mirrored(gpus, there):
    built = gpus(there)
    config = settings(strategy="single", deterministic=False)
    assert devices.configure(config) is tf.distribute.get_strategy()
    assert built == []


def test_machines_without_a_gpu_have_one_device(gpus):
    gpus(0)
    with pytest.raises(UsageError, match="trains on one device.*num_devices=2"):
        devices.check_devices(settings(), TWO, 2)
    gpus(2)
    devices.check_devices(settings(), TWO, 2)
    with pytest.raises(UsageError, match="multiple of 4.*2 workers of 2"):
        devices.check_devices(settings(batch_size=98), TWO, 2)


def test_a_cpu_beside_a_gpu_is_another_worker(gpus):
    """As many devices, of another kind."""
    plan = [(None, settings())]
    gpus(1)
    chief = session._settings(plan)
    gpus(0)
    (told,) = session._differing(chief, session._settings(plan))
    assert told == "devices: 1 CPU there, 1 GPU here"
