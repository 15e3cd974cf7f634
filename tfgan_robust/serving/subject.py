"""What is exported: a classifier's file, and what is known of it."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfgan_robust import files
from tfgan_robust.errors import UsageError, shown
from tfgan_robust.networks import pretrained
from tfgan_robust.reports.reading import parse_evaluation
from tfgan_robust.runs import stored
from tfgan_robust.runs.directory import RunDirectory


@dataclasses.dataclass(frozen=True)
class Subject:
    """A classifier that can be exported.

    Attributes:
        name: What it is called.
        file: Its `.keras` file.
        training: "settings" and "dataset", the latter with "class_names", as
            config.json of a run has them, and what else is known.
        robustness: What an evaluation stored of it, None if nothing was
            measured. Whether it is of this very network is not looked at.
        checkpoint: Which one of its run's classifiers it is, if it has a run.
        run: The folder of its run, if it has one.
    """

    name: str
    file: Path
    training: Mapping[str, Any]
    robustness: Mapping[str, Any] | None
    checkpoint: str | None = None
    run: Path | None = None

    @property
    def class_names(self) -> list[str]:
        """Names of its logits, in their order."""
        return list(self.training["dataset"]["class_names"])

    def naming_imports(self) -> contextlib.AbstractContextManager[None]:
        """Adds to an error the modules that it was trained with, if absent."""
        if self.run is None:
            return contextlib.nullcontext()
        return stored.naming_imports(self.run)


def of_run(path: Path, checkpoint: str) -> Subject:
    """Returns a classifier of a run.

    Args:
        path: The folder of the run.
        checkpoint: "best", "last", or "epoch-N".

    Raises:
        UsageError: if there is no such classifier, or what the folder says of
            it was written by no training and no evaluation.
    """
    run = RunDirectory(path)
    training = _training(run)
    return Subject(
        name=run.path.resolve().name,
        file=run.trained_classifier(checkpoint),
        training=training,
        robustness=_stored_results(run, checkpoint),
        checkpoint=checkpoint,
        run=run.path,
    )


def of_pretrained(model: str) -> Subject:
    """Returns a classifier that comes with the package.

    Args:
        model: Its name, with `pretrained.PREFIX`.

    Raises:
        UsageError: see `pretrained.card` and `pretrained.locate`; for an
            evaluation on the card that is none.
    """
    file, card = pretrained.locate(model), pretrained.card(model)
    measured = card.pop("measured", None)
    if measured is not None:
        parse_evaluation(measured, f"what was measured of {model}")
    dataset = {
        "name": card["dataset"],
        "source": card.get("images"),
        "class_names": card["class_names"],
    }
    settings = dict(card["settings"])
    if card.get("begun with"):
        # A training that goes on has the network that the first one built.
        settings["classifier"] = card["begun with"][0].get("classifier")
    return Subject(
        name=model.removeprefix(pretrained.PREFIX),
        file=file,
        training={**card, "settings": settings, "dataset": dataset},
        robustness=measured,
    )


def _training(run: RunDirectory) -> dict[str, Any]:
    """Returns config.json, whose settings and data set were checked.

    Raises:
        UsageError: for one that no run wrote.
    """
    stored.load_run_config(run.path)
    dataset = stored.stored_dataset(run.path)
    if not dataset.get("class_names"):
        raise UsageError(
            f"{run.config} does not list the classes of its data set; it is "
            "no file of a training run."
        )
    source = dataset.get("source")
    if source is not None and not isinstance(source, str):
        raise UsageError(
            f"`source` of the data set in {run.config} must be text; restore "
            f"the file. Received: source={shown(source)}."
        )
    described = files.read_json_object(run.config)
    try:
        # JSON reads 1e999 and halves of characters, which nothing can write.
        json.dumps(described, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise UsageError(
            f"{run.config} is not as a run writes it: {error}. Restore the "
            "file."
        ) from None
    return described


def _stored_results(
    run: RunDirectory, checkpoint: str
) -> dict[str, Any] | None:
    """Returns what was measured of this checkpoint, None if nothing was.

    Raises:
        UsageError: for a results.json that no evaluation wrote.
    """
    path = run.path / "results.json"
    if not path.exists():
        return None
    results = files.read_json_object(path)
    # First: what is damaged may say that it is of another checkpoint.
    parse_evaluation(results, str(path))
    same = results.get("checkpoint", checkpoint) == checkpoint
    return results if same else None
