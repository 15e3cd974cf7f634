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
    words = ["python", "-m", f"tfgan_robust.{command}", *arguments]
    if importing.IMPORTED:
        words.append(f"--import={','.join(importing.IMPORTED)}")
    line = shlex.join(words)
    return f"next, when {when}: {line}" if when else f"next: {line}"


def once_more(command: str, *arguments: str) -> str:
    """Returns the line that says to give this command with more arguments.

    Args:
        command: This one's name.
        *arguments: What comes on top.
    """
    given = [each for each in sys.argv[1:] if not each.startswith("--import=")]
    return following(command, *given, *arguments)
