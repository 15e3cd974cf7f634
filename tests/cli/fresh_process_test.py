"""Modules that run in a process of their own."""

import subprocess

import pytest

from tfgan_robust.cli import importing
from tfgan_robust.cli.fresh_process import run_module
from tfgan_robust.errors import TfganRobustError

MODULE = """
import os
import sys
import time

from tfgan_robust.errors import UsageError
from tfgan_robust.cli.fresh_process import run_as_process


def run(what, *rest):
    if what == "say":
        print(os.environ.get("CUDA_VISIBLE_DEVICES"), *rest)
    if what == "refuse":
        raise UsageError("It is refused.")
    if what == "code":
        return 7
    if what == "break":
        raise ValueError("first line")
    if what == "wait":
        time.sleep(60)


if __name__ == "__main__":
    run_as_process(run)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that only the path of this process leads to."""
    (tmp_path / "its_own.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    return "its_own"


def test_it_is_given_arguments_and_its_words_come_back(module):
    assert run_module(module, "say", "a b", "") == "3 a b \n"
    assert run_module(module, "say", on_cpu=True) == "-1\n"


def test_what_was_imported_here_is_imported_there(
    module, tmp_path, monkeypatch
):
    marked = tmp_path / "marked.py"
    marked.write_text(
        "import os\nos.environ['CUDA_VISIBLE_DEVICES'] = 'marked'"
    )
    monkeypatch.setattr(importing, "IMPORTED", [str(marked)])
    assert run_module(module, "say") == "marked\n"
    marked.unlink()
    with pytest.raises(TfganRobustError, match="Cannot import .*marked.py"):
        run_module(module, "say")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("refuse", "It is refused."),
        ("code", "exit code 7"),
        ("break", "ValueError: first line"),
    ],
)
def test_the_last_line_says_why_it_failed(module, what, reason):
    with pytest.raises(TfganRobustError) as error:
        run_module(module, what)
    assert str(error.value) == reason


def test_it_may_be_given_so_much_time(module):
    with pytest.raises(subprocess.TimeoutExpired):
        run_module(module, "wait", timeout=0.5)
