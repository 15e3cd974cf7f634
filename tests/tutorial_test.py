"""The tutorial's commands, exactly as it prints them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tfgan_robust.files import read_json_object

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
MOST_BYTES = 200_000


def text():
    return PAGE.read_text("utf-8")


def commands():
    return re.findall(r"^```bash\n(.*?)^```$", text(), re.DOTALL | re.MULTILINE)


def pictures():
    return [
        PAGE.parent / name for name in re.findall(r"\]\((.*?\.png)", text())
    ]


def test_the_page_shows_what_is_there():
    assert len(pictures()) >= 4
    for picture in pictures():
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size < MOST_BYTES
    for page in re.findall(r"\]\((\w+\.md)\)", text()):
        assert (PAGE.parent / page).is_file()


def test_each_command_is_in_a_block_that_is_run():
    assert len(commands()) >= 7
    others = re.findall(r"^```(\w*)\n", text(), re.MULTILINE)
    assert set(others) == {"bash", "text", ""}
    for name in ("train", "evaluate", "compare", "export"):
        assert any(f"python -m tfgan_robust.{name} " in c for c in commands())


def test_the_drawn_lines_differ_without_their_colours(tmp_path, monkeypatch):
    (command,) = (c for c in commands() if "draw_training.py" in c)
    (script,) = re.findall(r"<<'EOF'\n(.*?)^EOF$", command, re.S | re.M)
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda f, *_, **__: drawn.append(f))
    monkeypatch.chdir(tmp_path)
    names = "clean", "fgsm", "pgd"
    header = ",".join(["epoch", *(f"val_{name}_accuracy" for name in names)])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text(
        f"{header}\n1,0.9,0.5,0.4\n2,1,0.6,0.5\n"
    )
    exec(compile(script, "draw_training.py", "exec"), {})
    ((panel,),) = (figure.axes for figure in drawn)
    assert panel.get_title()
    looks = {(ln.get_marker(), ln.get_linestyle()) for ln in panel.get_lines()}
    assert len(looks) == len(panel.get_lines()) == len(names)
    assert len({marker for marker, _ in looks}) == len(names)


@pytest.mark.slow
def test_the_commands_run_one_after_another(tmp_path):
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package, reason="extra `export`")
    # `python` is the one that runs this test.
    folder = os.path.dirname(sys.executable)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([folder, os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
    }
    printed = ""
    for command in commands():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, command + done.stdout + done.stderr
        print(done.stdout)
        printed = done.stdout
    assert printed.count(": digit ") == 2
    assert printed.splitlines()[-1] == "ask.py: not an image that can be read"
    undefended, defended = (
        {
            (r["attack"], r["eps"]): r["accuracy"]
            for r in read_json_object(tmp_path / run / "results.json")[
                "results"
            ]
        }
        for run in ("run/baseline", "run")
    )
    for attack in ("pgd-100", "autoattack-fast"):
        assert defended[attack, 0.1] > undefended[attack, 0.1] + 0.2
    assert (tmp_path / "comparison" / "compare.png").is_file()
    assert (tmp_path / "onnx" / "1" / "model.onnx").is_file()
