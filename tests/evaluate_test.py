"""The evaluation's command line: what it takes, writes and refuses."""

import csv
import os
import re
import shlex
import subprocess
import sys

import pytest
from saved import (
    QUICK,
    count_correct,
    read_results,
    save_classifier,
    save_run,
)

from tfgan_robust import evaluate
from tfgan_robust.audit.checks import CHECKS
from tfgan_robust.data.loading import load_test
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import Split
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation import session
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.reports.results import SCHEMA_VERSION


def command(*flags):
    # Without what conftest.py sets: a shell's user has not set it either.
    quiet = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-m", "tfgan_robust.evaluate", *flags],
        capture_output=True,
        text=True,
        env=quiet,
    )


@pytest.mark.slow
@pytest.mark.parametrize("level", ["2", "3"])
def test_who_asks_for_less_noise_gets_no_more(tmp_path, level):
    found = subprocess.run(
        [sys.executable, "-c",
         "from tfgan_robust.lazy import load; load('tensorflow')"],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": level},
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")


def test_a_shell_measures_a_keras_file_and_keeps_the_results(tmp_path):
    model = save_classifier(tmp_path / "m.keras")
    folder = tmp_path / "new" / "out"
    done = command(
        f"--model={tmp_path / 'm.keras'}",
        "--dataset=digits",
        "--attacks=fgsm,pgd-2",
        "--eps=0.05,0.1",
        "--num_images=20",
        "--batch_size=8",
        "--seed=5",
        "--audit_images=16",
        "--undefended=none",
        f"--output={folder}",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\naudit: " in done.stdout and "finite_differences" in done.stdout
    assert (folder / "evaluation.md").is_file()
    assert "| classifier | attack            | clean | 0.05" in done.stdout
    assert "seed 5" in done.stdout and "INCOMPLETE" not in done.stdout
    assert done.stdout.splitlines()[-2:] == [
        f"written to {folder / 'results.json'} and evaluation.md",
        f"next: python -m tfgan_robust.compare {folder} OTHER_FOLDER",
    ]
    stored = read_results(folder)
    assert len(stored["audit"]) == len(CHECKS)
    assert stored["complete"] is True
    assert stored["schema_version"] == SCHEMA_VERSION
    assert stored["dataset"]["name"] == "digits"
    assert stored["dataset"]["split"] == "test"
    assert stored["checkpoint"] is None
    assert stored["device"] and stored["versions"]["tensorflow"]
    assert (stored["seed"], stored["batch_size"]) == (5, 8)
    expected = [("clean", 0.0)]
    expected += [(a, e) for a in ("fgsm", "pgd-2") for e in (0.05, 0.1)]
    found = [(r["attack"], r["eps"]) for r in stored["results"]]
    assert found == expected
    assert all(r["num_images"] == 20 for r in stored["results"])
    _, test = load_test("digits")
    first = Split(test.images[:20], test.labels[:20])
    assert stored["results"][0]["num_correct"] == count_correct(model, first)
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["attack"], float(r["eps"])) for r in rows] == expected
    assert not list(folder.glob(".partial-*"))


def test_a_bad_value_is_one_line_that_speaks_of_flags(monkeypatch, capsys):
    flags = ["--model=m.keras", "--dataset=digits", "--eps=300"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *flags])
    with pytest.raises(SystemExit) as end:
        evaluate.main()
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: --eps takes") and "300" in line


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"model": "notes.txt", "output": "notes.txt"},
            "must be a folder.*txt",
        ),
        ({"model": "absent.keras"}, "no model at absent.keras"),
        (
            {"model": "notes.txt", "transfer_from": "absent"},
            "no model at absent",
        ),
        ({"model": "notes.txt", "undefended": "absent"}, "no model at absent"),
        ({"run_dir": "."}, "no config.json"),
    ],
    ids=str,
)
def test_bad_paths_are_refused_before_anything_is_loaded(
    tmp_path, monkeypatch, given, told
):
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "load", None)
    dataset = {"dataset": "digits"} if "model" in given else {}
    with pytest.raises(UsageError, match=told):
        evaluate._run({**given, **dataset})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_help_lists_all_kinds_of_parts(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["evaluate", "--help"])
    with pytest.raises(SystemExit):
        evaluate.main()
    out = capsys.readouterr().out
    assert "pgd-<steps>[-margin|-dlr][-t]" in out
    assert "the middle square of each image is resized" in " ".join(out.split())
    words = re.findall(r"[\w:]+", out)
    for table in (NETWORKS, CHECKS, DATASETS):
        assert set(table) <= {word.strip(":") for word in words}


def test_a_model_without_an_output_folder_writes_nothing(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["evaluate", "--model=a b.keras"])
    save_classifier(tmp_path / "m.keras")
    given = {"model": str(tmp_path / "m.keras"), "dataset": "digits", **QUICK}
    assert evaluate._run(given) == 0
    out = capsys.readouterr().out
    assert "| m.keras" in out and "written to" not in out
    assert out.endswith(
        "--output=FOLDER keeps results and a report\n"
        "next: python -m tfgan_robust.evaluate '--model=a b.keras' "
        "--output=FOLDER\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_after_a_run_was_measured_its_export_comes_next(tmp_path, capsys):
    run = tmp_path / "my run"
    save_run(run)
    assert evaluate._run({**QUICK, "run_dir": str(run)}) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert shlex.split(line) == [
        "next:", "python", "-m", "tfgan_robust.export", f"--run_dir={run}",
        "--output=served",
    ]  # fmt: skip


def test_after_a_part_was_measured_all_are_put_together(
    tmp_path, monkeypatch, capsys
):
    run = tmp_path / "my run"
    save_run(run)
    for number in (1, 2):
        given = {**QUICK, "run_dir": str(run), "shard": f"{number}/2"}
        assert evaluate._run(given) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    when, _, merge = line.partition(": ")
    assert when == "next, when all parts are measured"
    assert shlex.split(merge) == [
        "python", "-m", "tfgan_robust.evaluate", f"--merge={run}",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", shlex.split(merge)[2:])
    with pytest.raises(SystemExit) as end:
        evaluate.main()
    assert end.value.code == 0
    assert read_results(run)["results"][0]["num_images"] == QUICK["num_images"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("next: python -m tfgan_robust.export ")


def test_an_interrupted_command_says_how_to_go_on(
    tmp_path, monkeypatch, capsys
):
    def interrupt(options, parts=None):
        raise KeyboardInterrupt

    save_run(tmp_path)
    monkeypatch.setattr(session, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        evaluate._run({**QUICK, "run_dir": str(tmp_path)})
    assert "same command goes on" in capsys.readouterr().err
