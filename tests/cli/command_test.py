"""Command lines as a shell sees them: exit codes, one line, nothing else."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from absl import logging

import tfgan_robust
from tfgan_robust import errors, train
from tfgan_robust.cli import command, fields, importing
from tfgan_robust.cli.fields import setting
from tfgan_robust.cli.flags import Part
from tfgan_robust.runs import config

ROOT = Path(tfgan_robust.__file__).parents[1]

# Runs the training command for each list of arguments, in one process.
TRAIN = """
import contextlib, io, json, sys
from tfgan_robust import train

answers = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["train", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            train.main()
        except SystemExit as end:
            answers.append([end.code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""
REFUSED = {
    "--epss=0.1": ["--epss", "--eps?"],
    "digits": ["Received: digits"],
    "--eps=1.5": ["--eps must", "Received: eps=1.5", "at most 1"],
    "--eps=inf": ["Received: eps=inf", "finite"],
    "--batch_size=0": ["Received: batch_size=0", "at least 1"],
    "--method=pgd --formulation=x": ["--formulation goes", "=x", "pgd"],
    "--config=absent.json": ["absent.json", "No such file"],
    "--report_images=-1": ["Received: report_images=-1"],
    "--report_attacks=magic": ["magic"],
    "--baseline --method=natural": ["--baseline", "natural"],
    "--import=absent": ["Cannot import absent", "No module"],
    "--config=../unknown.json": ["epsilon", "Known: "],
    "--config=../list.json": ["must be a JSON object"],
    # The flag wins over the file, and is bad.
    "--config=../good.json --eps=2.5": ["Received: eps=2.5"],
    "--run_dir=../photos": ["photos", "another --run_dir"],
    "--dataset=folder": ["--dataset=folder needs --data_dir"],
}
# What help shows of some settings where others are chosen.
CHOSEN = {
    "--dataset=digits --help": {
        "eps": "0.2",
        "epochs": "30",
        "momentum": "0.9",
    },
    "--dataset=tfds:mnist --help": {"eps": "0.3", "epochs": "100"},
    "--dataset=folder --help": {"eps": "8/255", "eval_eps": "8/255"},
    "--preset=paper --help": {"eps": "16/255", "optimizer": "adam"},
    "--method=pgd --help": {"clean_weight": "0", "attack_steps": "7"},
    "--dataset=absent --help": {"eps": "8/255"},
}
FILES = {
    "unknown.json": '{"eps": "8/255", "epsilon": 1}',
    "list.json": '{"settings": []}',
    "good.json": '{"eps": "8/255"}',
    "photos/cat.png": "",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    radius: float = setting(0.5, "Radius.", group="A", above=0, maximum=1)
    end: str = setting("well", "How it ends.", group="B")


ENDS = {
    "usage": errors.UsageError("`radius`\n  differs"),
    "nan": errors.DivergenceError("loss is nan"),
    "data": errors.DataNotFoundError("no data"),
    "other": errors.TfganRobustError("no disk"),
    "full": OSError(28, "No space left on device"),
    "ctrl-c": KeyboardInterrupt(),
    "bug": ZeroDivisionError(),
    "memory": MemoryError(),
}


def run(given):
    fields.check_values(Settings, given)
    end = given.get("end", "well")
    if end in ENDS:
        raise ENDS[end]
    print(sorted(given.items()))
    return 143 if end == "terminated" else None


@pytest.fixture
def handlers():
    """Sets back what a process that ends need not."""
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def call(capsys, handlers):
    """Runs a command; returns its exit code and what it printed."""

    def call(*arguments, settings=lambda: Settings, run=run):
        with pytest.raises(SystemExit) as end:
            command.main(
                lambda: [Part(settings())],
                run,
                usage="Does nothing.",
                arguments=arguments,
            )
        return end.value.code or 0, *capsys.readouterr()

    return call


def test_only_what_was_given_is_passed_on(call):
    assert call("--radius=1/4") == (0, "[('radius', 0.25)]\n", "")
    assert call() == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("argument", "code", "line"),
    [
        ("--end=other", 1, "error: no disk"),
        ("--end=full", 1, "error: [Errno 28] No space left on device"),
        ("--end=memory", 1, "error: MemoryError"),
        ("--end=usage", 2, "error: --radius differs"),
        ("--radius=nan", 2,
         "error: --radius must be finite. Received: radius=nan."),
        ("--radius=2", 2,
         "error: --radius must be at most 1. Received: radius=2.0."),
        ("--end=nan", 3, "error: loss is nan"),
        ("--end=data", 4, "error: no data"),
        ("--end=ctrl-c", 130, "interrupted"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_an_exit_code(call, argument, code, line):
    assert call(argument) == (code, "", f"{line}\n")


def test_a_returned_code_is_the_exit_code(call):
    code, _, _ = call("--end=terminated")
    assert code == errors.EXIT_TERMINATED == 143


def test_our_own_mistakes_keep_their_traceback(call):
    with pytest.raises(ZeroDivisionError):
        call("--end=bug")


def test_help_wins_over_bad_arguments(call):
    code, out, err = call("--radius=bad", "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Does nothing.\n\nA:\n  --radius NUMBER in (0, 1]\n")


def test_warnings_are_shown_and_notes_are_not(call):
    call()
    assert logging.get_verbosity() == logging.WARNING


def test_modules_are_imported_before_flags_are_made(
    tmp_path, monkeypatch, call
):
    (tmp_path / "my_settings.py").write_text(
        "import dataclasses\n"
        "from tfgan_robust.cli.fields import setting\n"
        "@dataclasses.dataclass(frozen=True, kw_only=True)\n"
        "class Mine:\n"
        "    speed: int = setting(1, 'Speed.', group='Mine')\n"
    )
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(importing, "IMPORTED", [])
    given = {
        "settings": lambda: vars(sys.modules["my_settings"])["Mine"],
        "run": print,
    }
    flag = f"--import={tmp_path}/my_settings.py"
    assert "--speed INTEGER" in call("--help", flag, **given)[1]
    assert call("--speed=3", flag, **given) == (0, "{'speed': 3}\n", "")


@pytest.fixture(scope="module")
def train_answers(tmp_path_factory):
    """By arguments: exit code, output and error of training.

    Importing TensorFlow fails, and the current folder stays empty.
    """
    folder = tmp_path_factory.mktemp("train")
    (folder / "poison").mkdir()
    for name in ("tensorflow", "keras"):
        poison = folder / "poison" / f"{name}.py"
        poison.write_text("raise SystemError('imported')")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "work").mkdir()
    lines = [*REFUSED, "--help", "--eps=bad --help", *CHOSEN]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, json.dumps([x.split() for x in lines])],
        cwd=folder / "work",
        env={
            **os.environ,
            "PYTHONPATH": f"{folder / 'poison'}{os.pathsep}{ROOT}",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list((folder / "work").iterdir()) == []
    assert [p.name for p in (folder / "photos").iterdir()] == ["cat.png"]
    return dict(zip(lines, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("arguments", REFUSED)
def test_training_refuses_before_tensorflow_starts(train_answers, arguments):
    code, out, err = train_answers[arguments]
    assert (code, out) == (2, ""), err
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    for fragment in REFUSED[arguments]:
        assert fragment in line


def test_training_help_is_complete_and_needs_no_tensorflow(train_answers):
    code, out, err = train_answers["--help"]
    assert (code, err) == (0, "")
    listed = re.findall(r"^  --(\w+) ", out, re.MULTILINE)
    expected = {
        name
        for kind in (train.TrainFlags, *config.setting_classes())
        for name in fields.field_names(kind)
    }
    assert sorted(listed) == sorted(expected | {"import"})
    groups = re.findall(r"^(\w.*):$", out, re.MULTILINE)
    assert "Networks" in groups
    assert len(groups) == len(set(groups))
    assert max(map(len, out.splitlines())) <= 80
    assert train_answers["--eps=bad --help"] == [0, out, ""]


@pytest.mark.parametrize("arguments", CHOSEN)
def test_training_help_shows_the_defaults_of_what_is_chosen(
    train_answers, arguments
):
    code, out, err = train_answers[arguments]
    assert (code, err) == (0, "")
    blocks = re.split(r"^  --(?=\w)", out, flags=re.MULTILINE)
    shown = {block.split(maxsplit=1)[0]: block for block in blocks[1:]}
    for name, default in CHOSEN[arguments].items():
        text = " ".join(shown[name].split())
        assert f"Default: {default}." in text
    assert ("noise_size" in shown) == ("--method" not in arguments)


def test_training_help_begins_with_the_run_and_says_types_and_units(
    train_answers,
):
    _, out, _ = train_answers["--help"]
    groups = re.findall(r"^([A-Z].*):$", out, re.MULTILINE)
    assert groups[0] == "Run"
    assert groups[-1] == "Your own parts"
    for line in (
        "--batch_size INTEGER >= 1, images",
        "--image_size INTEGER >= 16, pixels",
        "--warmup NUMBER in [0, 0.9], share of the run",
        "--eps 8|8/255|0.03",
        "--deterministic [true|false]",
        "--optimizer NAME",
        "--run_dir TEXT",
    ):
        assert f"\n  {line}\n" in out
    assert "0.0313725" not in out
    flat = " ".join(out.split())
    assert "the middle square of each image is resized" in flat
    assert "which suits photographs in folders" in flat


# What is printed is lost, as where a disk is full.
LEAVE = """
import sys
from tfgan_robust.cli import command
from tfgan_robust.errors import DivergenceError

def run(given):
    print("on its way")
    raise DivergenceError("loss is nan")

sys.stdout, sys.stderr = (open("/dev/full", "w") for _ in range(2))
if sys.argv[1] == "leave":
    command.leave("lost", 3)
command.leave_at_once()
command.main(lambda: [], run, usage="Fails.", arguments=[])
"""


@pytest.mark.parametrize("how", ["leave", "main"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_one_of_several_leaves_though_nobody_hears_it(how):
    done = subprocess.run(
        [sys.executable, "-c", LEAVE, how], cwd=ROOT, timeout=60
    )
    assert done.returncode == errors.DivergenceError.exit_code


def test_a_shell_sees_an_exit_code_and_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "tfgan_robust.export", "--version=0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: --version must be at least 1. Received: version=0.\n"
    )
