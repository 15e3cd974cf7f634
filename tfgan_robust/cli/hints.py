"""The last line of a command: what to do next."""

import shlex
import sys

from tfgan_robust.cli import importing


def following(command: str, *arguments: str, when: str = "") -> str:
    """Returns the line that names the next command, as a shell takes it.

    It imports what this one did, whose parts a run may consist of.

    Args:
        command: "train", "evaluate", "compare" or "export".
        *arguments: Flags and paths.
        when: What must hold before, if not now.
    """
    if importing.IMPORTED:
        arguments = (*arguments, f"--import={','.join(importing.IMPORTED)}")
    return _line(command, *arguments, when=when)


def of_run(run_dir: str, checkpoint: str | None) -> list[str]:
    """Returns the flags that name the networks of a run.

    Args:
        run_dir: Its folder.
        checkpoint: Which of its networks; None for the usual ones.
    """
    flags = [f"--run_dir={run_dir}"]
    if checkpoint not in (None, "best"):
        flags.append(f"--checkpoint={checkpoint}")
    return flags


def once_more(command: str, *arguments: str) -> str:
    """Returns the line that says to give this command with more arguments.

    Args:
        command: This one's name.
        *arguments: What comes on top.
    """
    return _line(command, *sys.argv[1:], *arguments)


def _line(command: str, *arguments: str, when: str = "") -> str:
    line = shlex.join(["python", "-m", f"tfgan_robust.{command}", *arguments])
    return f"next, when {when}: {line}" if when else f"next: {line}"
