"""Command lines as a shell sees them: exit codes, one line, nothing else."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfgan_robust
from tfgan_robust import train
from tfgan_robust.cli import command, fields
from tfgan_robust.cli.fields import setting

ROOT = Path(tfgan_robust.__file__).parents[1]

# A command whose settings are few and whose work is to fail as asked.
COMMAND = """
import dataclasses
from tfgan_robust import errors
from tfgan_robust.cli import command
from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting

@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    radius: float = setting(0.5, "Radius.", group="A", above=0, maximum=1)
    steps: int | None = setting(None, "Steps.", group="A", minimum=1)
    end: str = setting("well", "How it ends.", group="B")
    loud: bool = setting(False, "Loud.", group="B")

def run(given):
    fields.check_values(Settings, given)
    ends = {
        "usage": errors.UsageError("two\\n  lines"),
        "nan": errors.DivergenceError("loss is nan"),
        "data": errors.DataNotFoundError("no data"),
        "other": errors.TfganRobustError("no disk"),
        "ctrl-c": KeyboardInterrupt(),
        "bug": ZeroDivisionError(),
    }
    end = given.get("end", "well")
    if end in ends:
        raise ends[end]
    print(sorted(given.items()))
    return 143 if end == "terminated" else None

command.main(Settings, run, usage="Does nothing.")
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """A few settings, to look at their help."""

    radius: float = setting(1 / 3, "Radius.", group="First")
    kind: str = setting("b", "Kind.", group="Second", choices=("a", "b"))
    steps: int | None = setting(None, "Steps.", group="First")


@pytest.fixture
def without_tensorflow(tmp_path):
    """An environment in which importing TensorFlow fails."""
    folder = tmp_path / "poison"
    folder.mkdir()
    for name in ("tensorflow", "keras"):
        (folder / f"{name}.py").write_text("raise SystemError('imported')")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@pytest.fixture
def call(tmp_path, without_tensorflow):
    """Runs a command in an empty folder, in which it may leave nothing."""
    folder = tmp_path / "work"
    folder.mkdir()

    def call(*arguments, command=("-c", COMMAND)):
        done = subprocess.run(
            [sys.executable, *command, *arguments],
            cwd=folder,
            env=without_tensorflow,
            capture_output=True,
            text=True,
        )
        assert list(folder.iterdir()) == []
        return done

    return call


@pytest.fixture
def call_train(call):
    """Runs the training command."""
    return lambda *arguments: call(
        *arguments, command=("-m", "tfgan_robust.train")
    )


def assert_refused(done, *fragments):
    """Exit code 2 and one line that says all of it."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    for fragment in fragments:
        assert fragment in line


def test_only_what_was_given_is_passed_on(call):
    done = call("--radius=1/4", "--steps", "3", "--noloud")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[('loud', False), ('radius', 0.25), ('steps', 3)]\n"
    assert done.stderr == ""
    assert call().stdout == "[]\n"


@pytest.mark.parametrize(
    ("end", "code", "line"),
    [
        ("other", 1, "error: no disk"),
        ("usage", 2, "error: two lines"),
        ("nan", 3, "error: loss is nan"),
        ("data", 4, "error: no data"),
        ("ctrl-c", 130, "interrupted"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(call, end, code, line):
    done = call(f"--end={end}")
    assert (done.returncode, done.stderr) == (code, f"{line}\n")


def test_a_returned_code_is_the_exit_code(call):
    assert call("--end=terminated").returncode == command.EXIT_TERMINATED == 143


def test_our_own_mistakes_keep_their_traceback(call):
    done = call("--end=bug")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    ("argument", "fragment"),
    [
        ("--radios=1", "radios"),
        ("radius=1", "Received: radius=1"),
        ("--radius=wide", "Received: radius=wide"),
        ("--radius", "radius"),
        ("--steps=2.5", "Received: steps=2.5"),
        ("--loud=very", "loud"),
        ("--radius=nan", "Received: radius=nan"),
        ("--radius=2", "Received: radius=2.0"),
    ],
)
def test_bad_arguments_are_refused(call, argument, fragment):
    assert_refused(call(argument), fragment)


def test_help_groups_settings_in_their_order():
    text = command.format_help(Settings, "\nDoes nothing.\n")
    assert text.splitlines() == [
        "Does nothing.",
        "",
        "First:",
        "  --radius",
        "      Radius. Default: 0.333333.",
        "  --steps",
        "      Steps.",
        "",
        "Second:",
        "  --kind",
        "      Kind. One of: a, b. Default: b.",
    ]


def test_training_help_is_complete_and_needs_no_tensorflow(call_train):
    done = call_train("--help")
    assert (done.returncode, done.stderr) == (0, "")
    listed = re.findall(r"^  --(\w+)$", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(fields.field_names(train.TrainFlags))
    groups = re.findall(r"^(\w.*):$", done.stdout, re.MULTILINE)
    assert "Networks" in groups
    assert len(groups) == len(set(groups))
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert call_train("--eps=bad", "--help").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--epss=0.1"], ["epss", "eps"]),
        (["digits"], ["Received: digits"]),
        (["--eps=16"], ["Received: eps=16.0", "at most 1"]),
        (["--eps=inf"], ["Received: eps=inf", "finite"]),
        (["--batch_size=0"], ["Received: batch_size=0", "at least 1"]),
        (["--method=pgd", "--formulation=x"], ["formulation=x", "pgd"]),
        (["--config=absent.json"], ["absent.json", "No such file"]),
        (["--report_images=-1"], ["Received: report_images=-1"]),
        (["--report_attacks=magic"], ["magic"]),
        (["--baseline", "--method=natural"], ["baseline", "natural"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_training_refuses_before_tensorflow_starts(
    call_train, arguments, fragments
):
    assert_refused(call_train(*arguments), *fragments)


def test_training_refuses_a_bad_file_of_settings(call_train, tmp_path):
    file = tmp_path / "settings.json"
    file.write_text('{"eps": "8/255", "epsilon": 1}')
    assert_refused(call_train(f"--config={file}"), "epsilon", "Known: ")
    file.write_text('{"settings": []}')
    assert_refused(call_train(f"--config={file}"), "must be a JSON object")
    # The flag wins over the file, and is bad.
    file.write_text('{"eps": "8/255"}')
    assert_refused(
        call_train(f"--config={file}", "--eps=2"), "Received: eps=2.0"
    )


def test_training_refuses_a_folder_of_something_else(call_train, tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.png").touch()
    assert_refused(call_train(f"--run_dir={other}"), str(other), "--run_dir")
    assert [file.name for file in other.iterdir()] == ["cat.png"]
