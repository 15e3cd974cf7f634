"""Experiments run from end to end, on digits, as their commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments import run_all
from tfgan_robust.files import read_json_object

ROOT = Path(__file__).parents[2]
NAMES = [experiment.name for experiment in run_all.EXPERIMENTS]


def run(module, *flags):
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{module}", *flags],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip


def places(folder):
    return (
        "--preset=smoke",
        f"--runs={folder / 'runs'}",
        f"--results={folder / 'results'}",
    )


@pytest.mark.slow
def test_an_experiment_runs_once(tmp_path):
    first = run("pgd_iterations", *places(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "[1 of 2] train epochs/grad-x2-0" in first.stdout
    results = tmp_path / "results"
    for suffix in ("csv", "json", "png", "svg"):
        assert (results / f"pgd_iterations.{suffix}").stat().st_size > 500
    (row,) = read_json_object(results / "pgd_iterations.json")["rows"]
    # Clean, and two attacks at two radii.
    assert len(row["accuracy"]) == 5
    figure = (results / "pgd_iterations.svg").read_bytes()

    again = run("pgd_iterations", *places(tmp_path))
    assert (again.returncode, again.stdout) == (0, "")
    assert (results / "pgd_iterations.svg").read_bytes() == figure

    page = tmp_path / "REPORT.md"
    report = run(
        "report", "--preset=smoke", f"--results={results}", f"--output={page}"
    )
    assert report.returncode == 0, report.stderr
    text = page.read_text()
    assert "![PGD of 100 and of 1000 iterations](results/pgd_iter" in text
    assert "Not run: `python -m experiments.formulations" in text
    assert "3,521,738 parameters" in text


def test_an_unknown_preset_is_named():
    done = run("formulations", "--preset=large")
    assert done.returncode == 2
    assert "choose from" in done.stderr


@pytest.mark.slow
def test_all_experiments_run(tmp_path):
    done = run("run_all", *places(tmp_path))
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results"
    assert {f.stem for f in results.glob("*.json")} == {*NAMES, "costs"}
    for name in NAMES:
        assert list(results.glob(f"{name}*.png"))
        assert list(results.glob(f"{name}*.svg"))
