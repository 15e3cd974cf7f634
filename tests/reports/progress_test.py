"""Progress on a terminal, and in a pipe."""

import io
import sys

import pytest
from tqdm import tqdm

from tfgan_robust.reports.progress import (
    audit_progress,
    evaluation_progress,
    progress_bar,
    say,
)

CALLS = (
    ("clean", 0.0, 4, 4, 0.75),
    # One of four was done before an interruption.
    ("fgsm", 8 / 255, 1, 4, 0.75),
    ("fgsm", 8 / 255, 4, 4, 0.5),
    ("autoattack", 0.1, 0, 8, 0.5),
    ("autoattack", 0.1, 3, 8, 0.5),
    # Nothing is left to do for an attack that an earlier call finished.
    ("autoattack", 0.1, 8, 8, 0.25),
)


class Stream(io.StringIO):
    """What the standard error stream is told, be it a terminal or a pipe."""

    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


@pytest.fixture
def become(monkeypatch):
    """Makes the standard error stream a terminal or a pipe.

    Called by tests: pytest sets the stream anew after fixtures are made.
    """

    def become(*, terminal):
        monkeypatch.setattr(sys, "stderr", Stream(terminal))
        return sys.stderr

    return become


def test_a_terminal_gets_a_bar_with_figures(become):
    terminal = become(terminal=True)
    with progress_bar("my run", "step", total=40, done=30) as bar:
        # As if these steps had taken a minute.
        bar.start_t -= 60
        bar.last_print_t -= 60
        bar.update(5)
        bar.set_postfix({"loss": "0.500"}, refresh=False)
        bar.update(5)
    shown = terminal.getvalue()
    assert "my run" in shown
    assert "30/40" in shown
    # The other five take another one.
    assert "35/40 [01:00<01:00" in shown
    assert "40/40" in shown and "100%" in shown
    assert "loss=0.500" in shown


def test_without_a_terminal_there_are_plain_lines(become, capsys):
    pipe = become(terminal=False)
    with progress_bar("my run", "step", total=40) as bar:
        bar.set_postfix({"loss": "0.500"}, refresh=False)
        bar.update(40)
        say("epoch 1/1, loss 0.5")
    assert capsys.readouterr().out == "epoch 1/1, loss 0.5\n"
    assert pipe.getvalue() == ""


def test_an_evaluation_without_a_terminal_tells_a_line_for_each_attack(
    become, capsys
):
    pipe = become(terminal=False)
    with evaluation_progress("net", 16) as tell:
        for call in CALLS:
            tell(*call)
    assert capsys.readouterr().out.splitlines() == [
        "clean: 75.0% correct",
        "fgsm eps 8/255: 50.0% correct",
        "autoattack eps 0.1: 25.0% correct",
    ]
    assert pipe.getvalue() == ""


def test_an_evaluation_on_a_terminal_has_one_bar_of_what_is_settled(
    become, capsys, monkeypatch
):
    terminal = become(terminal=True)
    counts, update = [], tqdm.update

    def count(bar, steps):
        update(bar, steps)
        counts.append(bar.n)

    monkeypatch.setattr(tqdm, "update", count)
    with evaluation_progress("net", 16) as tell:
        for call in CALLS:
            tell(*call)
    assert counts == [4, 5, 8, 8, 11, 16]
    shown = terminal.getvalue()
    assert "net" in shown and "16/16" in shown and "100%" in shown
    assert "autoattack eps 0.1: 25.0% correct" in shown
    assert capsys.readouterr().out == ""


def test_an_audit_on_a_terminal_has_a_bar_over_its_checks(become):
    terminal = become(terminal=True)
    with audit_progress() as tell:
        tell("noise", 1, 2)
        tell("square", 2, 2)
    assert "square" in terminal.getvalue() and "2/2" in terminal.getvalue()


def test_an_audit_without_a_terminal_is_silent(become, capsys):
    pipe = become(terminal=False)
    with audit_progress() as tell:
        tell("noise", 1, 1)
    assert capsys.readouterr().out == pipe.getvalue() == ""
