"""Parts of an evaluation on a Ray cluster, one machine of which is lost."""

import subprocess
import sys
import time

import pytest
from saved import assert_same, save_classifier

from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation import cluster
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.shards import ClusterSettings

COUNT = 4


def flags(folder, **given):
    values = {
        "model": folder / "m.keras",
        "dataset": "digits",
        "attacks": "pgd-50,apgd-t-20",
        "eps": "0.02,0.1",
        "num_images": 41,
        "batch_size": 8,
        "audit": False,
        **given,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def command(*given):
    return [sys.executable, "-m", "tfgan_robust.evaluate", *given]


def nodes(*resources, alive=True):
    return [{"Alive": alive, "Resources": each} for each in resources]


@pytest.mark.parametrize(
    ("found", "cores", "expected"),
    [
        (nodes({"CPU": 4.0}, {"CPU": 8.0}), None, ({"num_cpus": 4}, 3)),
        (nodes({"CPU": 4.0}, {"CPU": 8.0}), 2, ({"num_cpus": 2}, 6)),
        # The head of a cluster often lends nothing.
        (nodes({}, {"CPU": 2.0}), None, ({"num_cpus": 2}, 1)),
        (
            nodes({"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}),
            None,
            ({"num_gpus": 1, "num_cpus": 1}, 2),
        ),
        (
            nodes({"CPU": 2.0}) + nodes({"CPU": 64.0}, alive=False),
            None,
            ({"num_cpus": 2}, 1),
        ),
    ],
)
def test_workers_are_gpus_or_cores(found, cores, expected):
    assert cluster._workers(found, cores) == expected


@pytest.mark.parametrize("found", [nodes({"CPU": 2.0}), nodes({}), []])
def test_a_cluster_without_a_worker_is_refused(found):
    with pytest.raises(UsageError, match="as many `cores`.*cores=3"):
        cluster._workers(found, 3)


def parts(folder, count=None, **given):
    options = EvaluateSettings(
        model="m.keras", dataset="digits", output=str(folder), **given
    )
    found = cluster._parts(folder, options, count, cluster._Workers({}, 2))
    assert [part.number for part in found] == list(range(1, len(found) + 1))
    assert {part.parts for part in found} == {len(found)}
    return len(found)


def test_parts_that_are_begun_are_gone_on_with(tmp_path):
    assert parts(tmp_path) == 8
    assert parts(tmp_path, num_images=5) == 5
    assert parts(tmp_path, 30) == 30
    (tmp_path / "shards" / "2-of-6").mkdir(parents=True)
    assert parts(tmp_path) == parts(tmp_path, 6) == 6
    with pytest.raises(UsageError, match="parts of 6; give `shards`.*shards=7"):
        parts(tmp_path, 7)
    assert parts(tmp_path, 7, overwrite=True) == 7
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cluster": "slurm"}, "must be ray or ray://HOST:PORT"),
        ({"cluster": "ray://"}, "must be ray or ray://HOST:PORT"),
        ({"cluster": "ray", "merge": "D"}, "puts parts together itself"),
        ({"shards": 4}, "`shards` goes with `cluster`"),
        ({"cores": 4}, "`cores` goes with `cluster`"),
        ({"cluster": "ray", "shards": 0}, "`shards` must be at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given, told):
    with pytest.raises(UsageError, match=told):
        ClusterSettings(**given)
    assert ClusterSettings(cluster="ray").address is None
    assert ClusterSettings(cluster="ray://head:6379").address == "head:6379"


@pytest.mark.parametrize("given", [{"shard": "1/2"}, {"output": None}])
def test_a_cluster_measures_all_parts_into_a_folder(given):
    options = {"model": "m.keras", "dataset": "digits", "output": "D", **given}
    with pytest.raises(UsageError, match="all parts, and needs `output`"):
        cluster.measure_parts(
            EvaluateSettings(**options), ClusterSettings(cluster="ray")
        )


def test_without_ray_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    options = EvaluateSettings(model="m", dataset="digits", output="D")
    with pytest.raises(UsageError, match=r"pip install 'tfgan_robust\[clust"):
        cluster.measure_parts(options, ClusterSettings(cluster="ray"))


@pytest.fixture
def two_machines():
    """A cluster of two nodes of a core each, both on this machine."""
    utils = pytest.importorskip("ray.cluster_utils")
    node = {
        "num_cpus": 1,
        "object_store_memory": 80 * 2**20,
        "include_dashboard": False,
    }
    started = utils.Cluster(initialize_head=True, head_node_args=node)
    try:
        yield started, started.add_node(**node)
    finally:
        started.shutdown()


def begun(folder):
    """The parts that are being measured now."""
    return [
        path.parent.name
        for path in folder.glob("shards/*/shard.json")
        if not path.with_name("results.json").is_file()
    ]


@pytest.mark.slow
def test_a_machine_that_is_lost_costs_no_figure(tmp_path, two_machines):
    ray_cluster, second = two_machines
    save_classifier(tmp_path / "m.keras")
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    measuring = subprocess.Popen(
        command(
            *flags(tmp_path, output=parts),
            f"--cluster=ray://{ray_cluster.address}",
            f"--shards={COUNT}",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Both machines are in the middle of a part.
    while len(begun(parts)) < 2:
        assert measuring.poll() is None, measuring.communicate()
        time.sleep(0.05)
    ray_cluster.remove_node(second, allow_graceful=False)
    out, err = measuring.communicate()
    assert measuring.returncode == 0, err
    assert "lost its worker, and is started again" in out
    for number in range(1, COUNT + 1):
        assert f"part {number}/{COUNT} is measured" in out
    assert f"written to {parts / 'results.json'}" in out
    alone = subprocess.run(command(*flags(tmp_path, output=whole)), check=False)
    assert alone.returncode == 0
    assert_same(parts, whole)


@pytest.mark.slow
def test_what_a_worker_refuses_is_one_line(tmp_path, two_machines):
    save_classifier(tmp_path / "m.keras")
    done = subprocess.run(
        command(
            *flags(tmp_path, output=tmp_path / "parts", num_images=3),
            f"--cluster=ray://{two_machines[0].address}",
            f"--shards={COUNT}",
        ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: Part ") and "splits 3 images" in line
