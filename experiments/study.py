"""Runs of the command lines, each done once, whatever stops in between.

What the experiments of this folder share. A training that was stopped goes on,
a finished one is not repeated, and neither is an evaluation.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfgan_robust.files import read_json_object
from tfgan_robust.reports.reading import StoredEvaluation, read_evaluation

Settings = Mapping[str, Any]


def train(settings: Settings, folder: Path) -> None:
    """Trains in a run directory, or finishes what was begun there.

    Args:
        settings: Of `python -m tfgan_robust.train`, by name.
        folder: The run directory; its settings are kept in a file beside it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(dict(settings), indent=1))
    command("train", config=file, run_dir=folder, report_images=0)


def evaluate(folder: Path, output: Path, **settings: Any) -> StoredEvaluation:
    """Measures a run, unless that was done.

    Args:
        folder: The run directory.
        output: Where the evaluation goes.
        **settings: Of `python -m tfgan_robust.evaluate`, by name.
    """
    if not is_measured(output):
        command("evaluate", run_dir=folder, output=output, **settings)
    return read_evaluation(output)


def is_measured(output: Path) -> bool:
    """Tells whether a folder holds an evaluation that went to its end."""
    file = output / "results.json"
    return file.exists() and bool(read_json_object(file).get("complete"))


def command(name: str, **flags: Any) -> None:
    """Runs one of the package's command lines.

    Args:
        name: Such as "train".
        **flags: By name.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    given = [f"--{flag}={value}" for flag, value in flags.items()]
    module = f"tfgan_robust.{name}"
    subprocess.run([sys.executable, "-m", module, *given], check=True)
