"""Evaluations side by side, as a shell and as Python see them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stored
from matplotlib.image import imread
from stored import LARGE, SMALL

import tfgan_robust
from tfgan_robust import compare
from tfgan_robust.reports.verdicts import Check

ROOT = Path(tfgan_robust.__file__).parents[1]
LABELS = np.arange(20) % 4
# By attack and radius, how many of the first images are wrong.
WEAK = {
    ("clean", 0.0): 2, ("fgsm", SMALL): 8, ("fgsm", LARGE): 14,
    ("pgd-10", SMALL): 9, ("pgd-10", LARGE): 16,
}  # fmt: skip
STRONG = {
    ("clean", 0.0): 4, ("fgsm", SMALL): 5, ("fgsm", LARGE): 6,
    ("pgd-10", SMALL): 5, ("pgd-10", LARGE): 7,
}  # fmt: skip


def store(folder, wrong=WEAK, **changes):
    """Writes an evaluation in which the first images are the wrong ones."""
    fooled = {key: set(range(count)) for key, count in wrong.items()}
    given = {"labels": LABELS, "classes": ["cat", "dog", "frog", "ship"]}
    return stored.store(folder, fooled, **(given | changes))


def train(folder, *, checkpoint="best", **contents):
    """Writes the evaluation of a run into its folder."""
    results = store(folder, **contents) / "results.json"
    whole = json.loads(results.read_text())
    results.write_text(json.dumps(whole | {"checkpoint": checkpoint}))
    (folder / "config.json").write_text("{}")


def under_fgsm(*rows):
    """Which images are wrong, of radii in 255ths and counts of wrong ones."""
    return {
        ("clean", 0.0): 0,
        **{("fgsm", levels / 255): count for levels, count in rows},
    }


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Runs the command; returns its exit code and what it printed."""

    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["compare", *arguments])
        with pytest.raises(SystemExit) as end:
            compare.main()
        return end.value.code or 0, *capsys.readouterr()

    return call


def test_a_shell_gets_the_comparison_without_tensorflow(tmp_path):
    store(tmp_path / "a")
    store(tmp_path / "b", STRONG, seed=1)
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise SystemError('imported')")
    done = subprocess.run(
        [sys.executable, "-m", "tfgan_robust.compare", "a", "b",
         "--output=new/folder"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("| run | classifier ")
    assert "- warning: seed differs: 0 (a); 1 (b)" in done.stdout
    assert "- a and b: clean: 2 and 0, p = 0.5;" in done.stdout
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == [
        "compare.csv", "compare.md", "compare.png",
    ]  # fmt: skip
    page = (folder / "compare.md").read_text()
    table, written, following = done.stdout.rsplit("\n", 3)[:3]
    assert table in page
    assert written == f"written to {Path('new/folder/compare.md')}"
    assert following == (
        "next: python -m tfgan_robust.compare a b ANOTHER_FOLDER"
    )
    assert page.endswith("](compare.png)\n")
    assert imread(folder / "compare.png").ndim == 3
    assert (folder / "compare.png").stat().st_size < 200_000


def test_the_command_writes_nothing_unasked(tmp_path, call):
    folder = store(tmp_path / "a")
    before = sorted(folder.iterdir())
    code, out, err = call("a")
    assert (code, err) == (0, "")
    assert out.startswith("| run | classifier ")
    assert "nothing was kept; --output=FOLDER keeps this" in out
    assert sorted(folder.iterdir()) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_after_runs_were_compared_an_export_comes_next(tmp_path, call):
    for name in ("a", "b"):
        store(tmp_path / name)
    (tmp_path / "b" / "config.json").write_text("{}")
    _, out, _ = call("a", "b")
    assert out.splitlines()[-1] == (
        "next: python -m tfgan_robust.export --run_dir=b --output=served"
    )


def test_the_more_robust_of_two_runs_is_exported(tmp_path, call):
    for name, wrong in (("undefended", 9), ("defended", 3)):
        found = {("clean", 0.0): 1, ("fgsm", 0.1): wrong}
        folder = store(tmp_path / name, found)
        (folder / "config.json").write_text("{}")
    for order in (["undefended", "defended"], ["defended", "undefended"]):
        _, out, _ = call(*order)
        assert "--run_dir=defended" in out.splitlines()[-1]


def test_runs_are_judged_where_all_were_measured(tmp_path, call):
    train(tmp_path / "short", wrong=under_fgsm((4, 10)))
    train(tmp_path / "swept", wrong=under_fgsm((4, 3), (16, 14)))
    for order in (["short", "swept"], ["swept", "short"]):
        _, out, _ = call(*order)
        assert "--run_dir=swept" in out.splitlines()[-1]


@pytest.mark.parametrize(
    "doubt",
    [{"audit": [Check("noise", "FAIL", {}, "")]}, {"complete": False}],
    ids=["its audit failed", "it was interrupted"],
)
def test_doubtful_accuracies_win_nothing(tmp_path, call, doubt):
    train(tmp_path / "doubtful", wrong=under_fgsm((8, 1)), **doubt)
    train(tmp_path / "honest", wrong=under_fgsm((4, 3), (8, 9)))
    _, out, _ = call("doubtful", "honest")
    assert "--run_dir=honest" in out.splitlines()[-1]
    _, out, _ = call("doubtful")
    assert out.splitlines()[-1] == (
        "next: python -m tfgan_robust.compare doubtful ANOTHER_FOLDER"
    )


@pytest.mark.parametrize(
    "other",
    [
        {"wrong": under_fgsm((8, 3))},
        {"wrong": under_fgsm((4, 3)), "norm": "l2"},
        {"wrong": under_fgsm()},
    ],
    ids=["another radius", "another norm", "clean images alone"],
)
def test_without_a_common_radius_nothing_wins(tmp_path, call, other):
    train(tmp_path / "a", wrong=under_fgsm((4, 10)))
    train(tmp_path / "b", **other)
    _, out, _ = call("a", "b")
    assert out.splitlines()[-1] == (
        "next: python -m tfgan_robust.compare a b ANOTHER_FOLDER"
    )


def test_the_networks_that_were_measured_are_exported(tmp_path, call):
    train(tmp_path / "a", wrong=under_fgsm((4, 10)))
    train(tmp_path / "b", wrong=under_fgsm((4, 3)), checkpoint="last")
    _, out, _ = call("a", "b")
    assert out.splitlines()[-1] == (
        "next: python -m tfgan_robust.export --run_dir=b --checkpoint=last "
        "--output=served"
    )


def test_help_is_printed(call):
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    assert "--output" in out
    assert "RUN" in out


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ([], ["RUN"]),
        (["absent"], ["no folder", "absent"]),
        (["empty"], ["empty", "no results.json"]),
        (["broken"], ["broken", "not valid JSON"]),
        (["old"], ["schema_version 2", "Received: 1"]),
        (["list"], ["JSON object"]),
        (["good", "good"], ["twice"]),
        (["good", "--outputs=x"], ["--outputs=x"]),
        (["good", "--output=file"], ["--output must be a folder", "file"]),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_bad_input_is_refused_in_one_line(tmp_path, call, arguments, fragments):
    store(tmp_path / "good")
    contents = {"broken": "{", "old": '{"schema_version": 1}', "list": "[]"}
    for name, text in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    for fragment in fragments:
        assert fragment in line
