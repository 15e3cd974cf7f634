"""Parts of an evaluation on a Ray cluster, one machine of which is lost."""

import itertools
import signal
import subprocess
import sys
import time

import pytest
from saved import assert_same, save_classifier

from tfgan_robust.cli.signals import StopRequest
from tfgan_robust.errors import (
    EXIT_TERMINATED,
    TfganRobustError,
    UsageError,
)
from tfgan_robust.evaluation import cluster
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.shards import ClusterSettings, Shard

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
        # One GPU has too few cores beside it.
        (
            nodes({"CPU": 8.0, "GPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}),
            4,
            ({"num_gpus": 1, "num_cpus": 4}, 2),
        ),
        (
            nodes({"CPU": 6.0, "GPU": 4.0}),
            4,
            ({"num_gpus": 1, "num_cpus": 4}, 1),
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


@pytest.mark.parametrize("cores", [None, 3])
def test_gpus_without_cores_beside_them_are_refused(cores):
    found = nodes({"CPU": 0.0, "GPU": 1.0}, {"CPU": 64.0})
    with pytest.raises(UsageError, match=r"`cores` beside a GPU.*\[0, 64\]"):
        cluster._workers(found, cores)


def parts(folder, count=None, workers=2, **given):
    options = EvaluateSettings(
        model="m.keras", dataset="digits", output=str(folder), **given
    )
    there = cluster._Workers({}, workers)
    found = cluster._parts(folder, options, count, there)
    assert [part.number for part in found] == list(range(1, len(found) + 1))
    assert {part.parts for part in found} == {len(found)}
    return len(found)


def test_parts_that_are_begun_are_gone_on_with(tmp_path):
    assert parts(tmp_path) == 8
    assert parts(tmp_path, num_images=5) == 5
    assert parts(tmp_path, 30) == 30
    (tmp_path / "shards" / "2-of-6").mkdir(parents=True)
    assert parts(tmp_path) == parts(tmp_path, 6) == 6
    # Whatever the cluster has now.
    assert parts(tmp_path, workers=1) == parts(tmp_path, workers=9) == 6
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
    with pytest.raises(UsageError, match=r"pip install '\.\[cluster"):
        cluster.measure_parts(options, ClusterSettings(cluster="ray"))


class Ray:
    """Stands for the module: one part, on which nobody ever works.

    Args:
        found: The machines at each look.
        starts: How often the part was started, at each look.
    """

    def __init__(self, found, starts):
        self._found, self._starts = iter(found), iter(starts)
        self.read = self

    def wait(self, references, **_):
        return [], references

    def get(self, reference):
        return reference

    def remote(self):
        return {}, {"1/1": next(self._starts)}

    def nodes(self):
        return next(self._found)


def wait_with(found, starts, resources, number):
    ray = Ray(found, starts)
    stop, there = StopRequest(), cluster._Workers(resources, number)
    cluster._wait(ray, {"reference": Shard(1, 1)}, ray, stop, there)


def test_a_part_that_loses_every_worker_is_given_up(capsys):
    """Ray begins without end where memory is short."""
    same = itertools.repeat(nodes({"CPU": 2.0}))
    with pytest.raises(TfganRobustError, match="1/1 lost its worker more than"):
        wait_with(same, itertools.count(1), {"num_cpus": 2}, 1)
    out = capsys.readouterr().out
    assert out.count("started again") == 5
    assert "workers now" not in out


def test_workers_that_come_and_go_are_told_of(capsys):
    whole = nodes({"CPU": 4.0}, {"CPU": 4.0})
    found = [whole, whole[:1], whole[:1], nodes({"CPU": 4.0}, alive=False)]
    # There is nothing more to be looked at then.
    with pytest.raises(StopIteration):
        wait_with(found, itertools.repeat(1), {"num_cpus": 4}, 2)
    assert capsys.readouterr().out.splitlines() == [
        "the cluster has 1 workers now, and had 2",
        "the cluster has 0 workers now, and had 1; parts wait until there are",
    ]


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
    # Long enough for the second machine to begin meanwhile.
    attacks = "pgd-400,apgd-t-20"
    measuring = subprocess.Popen(
        command(
            *flags(tmp_path, output=parts, attacks=attacks),
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
    alone = subprocess.run(
        command(*flags(tmp_path, output=whole, attacks=attacks)), check=False
    )
    assert alone.returncode == 0
    assert_same(parts, whole)


@pytest.mark.slow
@pytest.mark.parametrize("last", ["1 are left", "0 are left"])
def test_a_cluster_evaluation_is_stopped_and_goes_on(
    tmp_path, two_machines, last
):
    """Among the parts, and in the audit after them."""
    save_classifier(tmp_path / "m.keras")
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    quick = {
        "attacks": "fgsm,pgd-2", "audit": True, "audit_images": 8,
        "undefended": "none",
    }  # fmt: skip
    again = command(
        *flags(tmp_path, output=parts, **quick),
        f"--cluster=ray://{two_machines[0].address}",
        "--shards=2",
    )
    stopped = subprocess.Popen(
        again, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in stopped.stdout:
        if last in line:
            break
    stopped.send_signal(signal.SIGTERM)
    _, err = stopped.communicate()
    assert stopped.returncode == EXIT_TERMINATED, err
    assert "the same command goes on from there" in err
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alone = subprocess.run(
        command(*flags(tmp_path, output=whole, **quick)), check=False
    )
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
