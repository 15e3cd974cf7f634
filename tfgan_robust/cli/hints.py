"""The last line of a command: what to do next."""

import shlex


def following(command: str, *arguments: str) -> str:
    """Returns the line that names the next command, as a shell takes it.

    Args:
        command: "train", "evaluate", "compare" or "export".
        *arguments: Flags and paths.
    """
    line = shlex.join(["python", "-m", f"tfgan_robust.{command}", *arguments])
    return f"next: {line}"
