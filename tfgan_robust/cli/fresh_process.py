"""Modules of this package that run in a process of their own.

Such a process shows that files suffice, and leaves devices, seeds and graphs of
this one alone. What `--import` named here is imported there first.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from tfgan_robust.cli import importing
from tfgan_robust.errors import TfganRobustError


def run_module(
    module: str,
    *arguments: str,
    on_cpu: bool = False,
    timeout: float | None = None,
) -> str:
    """Runs a module that ends in `run_as_process`.

    Args:
        module: Its name.
        arguments: What it is given.
        on_cpu: Whether it must not see a GPU, all of whose memory this
            process may hold.
        timeout: In seconds; None to wait for ever.

    Returns:
        What it printed.

    Raises:
        TfganRobustError: if it failed, with the last line of its errors.
        subprocess.TimeoutExpired: if it did not end in time.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path),
    }
    if on_cpu:
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(importing.IMPORTED)]
        + list(arguments),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise TfganRobustError(reason)
    return done.stdout


def run_as_process(function: Callable[..., Any]) -> NoReturn:
    """Calls a function with the arguments of `run_module`, and exits.

    Args:
        function: Returns an exit code; None is 0.
    """
    _, modules, *arguments = sys.argv
    try:
        for module in json.loads(modules):
            importing.import_modules(module)
        sys.exit(function(*arguments))
    except TfganRobustError as problem:
        sys.exit(str(problem))
