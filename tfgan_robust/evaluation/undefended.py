"""Trains a small undefended network where an audit has none to compare with."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.cli.fresh_process import run_as_process, run_module
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import DatasetInfo
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.lazy import load
from tfgan_robust.reports.progress import say
from tfgan_robust.runs import stored
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve

# In the folder of an evaluation.
FOLDER = "undefended"


def train_undefended(
    dataset: str,
    info: DatasetInfo,
    *,
    data_dir: str | None,
    folder: Path | None,
) -> Classifier | None:
    """Trains a network on clean images, in a process of its own.

    It takes about a minute. What was trained in the folder before is not
    trained again.

    Args:
        dataset: Name of the data set.
        info: The images and classes that it must know.
        data_dir: Where the data lie; None for the data set's own place.
        folder: Where the evaluation is kept; None for nowhere.

    Returns:
        The network; None, with a line that says why, if there is none.
    """
    settings = DATASETS[dataset].undefended
    if settings is None:
        return None
    given = {
        **settings,
        "dataset": dataset,
        "method": "natural",
        "image_size": info.image_shape[0],
        "data_dir": data_dir,
    }
    with _place(folder) as run:
        say(f"audit: training an undefended network on {dataset} in {run}")
        try:
            run_module(__name__, str(run), json.dumps(given))
        except TfganRobustError as error:
            say(f"NOTE: no undefended network could be trained: {error}")
            return None
        try:
            found = load_classifier(run_dir=run, checkpoint="last")
        except UsageError as error:
            say(f"NOTE: {run} is not looked at: {error}")
            return None
    return found


def _train(path: str, settings: str) -> int:
    """Trains in the process that was started for it; returns its exit code."""
    run, config = RunDirectory(Path(path)), resolve(json.loads(settings))
    stored.check_configuration(run, config)
    code: int = load("tfgan_robust.training.session:train_all")([(run, config)])
    return code


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """Yields the folder of the run; one that is gone afterwards for None."""
    if folder is not None:
        yield folder / FOLDER
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / FOLDER


if __name__ == "__main__":
    run_as_process(_train)
