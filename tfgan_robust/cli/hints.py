"""The last line of a command: what to do next."""

import shlex


def following(command: str, *arguments: str, when: str = "") -> str:
    """Returns the line that names the next command, as a shell takes it.

    Args:
        command: "train", "evaluate", "compare" or "export".
        *arguments: Flags and paths.
        when: What must hold before, if not now.
    """
    line = shlex.join(["python", "-m", f"tfgan_robust.{command}", *arguments])
    return f"next, when {when}: {line}" if when else f"next: {line}"
