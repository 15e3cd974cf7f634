"""What a run keeps of itself in config.json: settings, data set, versions."""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tfgan_robust
from tfgan_robust.cli import importing
from tfgan_robust.errors import UsageError
from tfgan_robust.files import (
    PARTIAL,
    check_no_pattern,
    read_json_object,
    write_json,
)
from tfgan_robust.identity import with_earlier
from tfgan_robust.runs.config import TrainConfig, from_stored
from tfgan_robust.runs.directory import LOCK, RunDirectory

# Where the data lie, and what computes, do not change what is trained.
_MAY_DIFFER = ("data_dir", "strategy")
_VERSIONED = (
    "tensorflow",
    "keras",
    "tensorflow-datasets",
    "numpy",
    "scikit-learn",
)


def check_configuration(run: RunDirectory, config: TrainConfig) -> None:
    """Refuses to train another configuration in a run's folder.

    Raises:
        UsageError: if the folder holds a different run, with the
            differences, or something that is no run.
    """
    check_no_pattern("run_dir", run.path)
    if not run.config.exists():
        if run.path.is_file():
            raise UsageError(f"{run.path} is a file, not a run directory.")
        # A run that was stopped before it began leaves these.
        ours = {LOCK, run.baseline.name, f"{PARTIAL}{run.config.name}"}
        if run.path.is_dir() and any(
            file.name not in ours for file in run.path.iterdir()
        ):
            raise UsageError(
                f"{run.path} holds files but no config.json; choose another "
                "`run_dir`."
            )
        return
    there, here = map(dataclasses.asdict, (load_run_config(run.path), config))
    changed = changed_settings(there, here)
    if changed:
        raise UsageError(
            f"{run.path} holds a run with other settings "
            f"({'; '.join(changed)}). Give the same settings to resume "
            "it, or another `run_dir`."
        )


def changed_settings(
    there: Mapping[str, Any], here: Mapping[str, Any]
) -> list[str]:
    """Returns which settings differ of those that decide what is trained.

    Args:
        there: Settings by name, which are spoken of as those "there".
        here: Others, spoken of as those "here".
    """
    return [
        f"{name}: {there.get(name, 'none')} there, "
        f"{here.get(name, 'none')} here"
        for name in {**there, **here}
        if name not in _MAY_DIFFER and there.get(name) != here.get(name)
    ]


def load_run_config(path: str | Path) -> TrainConfig:
    """Reads the settings of a run.

    Raises:
        UsageError: if the folder is no run directory.
    """
    file = RunDirectory(Path(path)).config
    if not file.exists():
        raise UsageError(
            f"{path} is no run directory: it has no config.json. Give the "
            "`run_dir` of a training run."
        )
    stored = read_json_object(file)
    values = stored.get("settings")
    if not isinstance(values, dict):
        raise UsageError(f"{file} has no settings; it is no run's file.")
    with naming_imports(path):
        return from_stored(values)


def note_machine(run: RunDirectory, device: str) -> None:
    """Adds what goes on with a run to what config.json says has begun it.

    Args:
        run: Of the run.
        device: Of this machine.
    """
    there = read_json_object(run.config)
    here = {"device": device, "versions": versions()}
    now = {**there, **with_earlier(there, here)}
    if now != there:
        write_json(run.config, now)


def stored_dataset(path: str | Path) -> dict[str, Any]:
    """Returns what a run keeps of its data set, empty if it keeps nothing.

    Args:
        path: The folder of the run.

    Raises:
        UsageError: if it is not as a run describes its data.
    """
    file = RunDirectory(Path(path)).config
    dataset = read_json_object(file).get("dataset")
    if not isinstance(dataset, dict):
        return {}
    identity = dataset.get("identity")
    fits = {
        "class_names": _is_texts(dataset.get("class_names"), distinct=True),
        "notes": _is_texts(dataset.get("notes")),
        "identity": identity is None
        or isinstance(identity, dict)
        and all(isinstance(part, dict) for part in identity.values()),
    }
    for name, fit in fits.items():
        if not fit:
            raise UsageError(
                f"`{name}` of the data set in {file} is not as a run writes "
                "it; restore the file."
            )
    return dataset


def _is_texts(value: Any, *, distinct: bool = False) -> bool:
    """Tells whether a JSON value is absent or a list of texts."""
    if value is None:
        return True
    if not isinstance(value, list):
        return False
    if not all(isinstance(each, str) for each in value):
        return False
    return not distinct or 0 < len(value) == len(set(value))


def stored_precision(path: str | Path) -> dict[str, str]:
    """Returns the precision that a run began with.

    Args:
        path: The folder of the run.

    Returns:
        Its "name", and the "reason" if one was kept; empty if there is no run.
    """
    file = RunDirectory(Path(path)).config
    stored = read_json_object(file) if file.exists() else {}
    kept = stored.get("precision")
    if not isinstance(kept, dict):
        kept = {"name": stored.get("settings", {}).get("precision")}
    return {
        name: kept[name]
        for name in ("name", "reason")
        if isinstance(kept.get(name), str)
    }


def load_settings(path: str | Path) -> dict[str, Any]:
    """Reads settings by name from a file of them, or a run's config.json.

    Raises:
        UsageError: if it holds none.
    """
    loaded = read_json_object(path)
    if "settings" not in loaded:
        return loaded
    # A run's file holds its settings beside other things.
    settings = loaded["settings"]
    if not isinstance(settings, dict):
        raise UsageError(f"`settings` in {path} must be a JSON object.")
    return dataclasses.asdict(from_stored(settings))


@contextmanager
def naming_imports(path: str | Path) -> Iterator[None]:
    """Adds to an error the modules that a run was trained with, if absent.

    They are never imported unasked, since importing runs them.

    Args:
        path: The folder of the run.

    Raises:
        UsageError: any that is raised within, with what may be missing.
    """
    try:
        yield
    except UsageError as error:
        config = RunDirectory(Path(path)).config
        stored = read_json_object(config) if config.exists() else {}
        imports = stored.get("imports")
        names = imports if isinstance(imports, list) else []
        named = {name for name in names if isinstance(name, str)}
        absent = named - set(importing.IMPORTED)
        if not absent:
            raise
        raise UsageError(
            f"{error} The run was trained with parts of "
            f"{', '.join(sorted(absent))}; import that first (commands do so "
            f"with --import={','.join(sorted(absent))})."
        ) from None


def versions() -> dict[str, str]:
    """Returns the versions on which a result depends."""
    found = {
        "python": platform.python_version(),
        "tfgan_robust": tfgan_robust.__version__,
    }
    for package in _VERSIONED:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
