"""Reads Keras models from files of any age, or says in a line why not."""

import io
import json
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras

from tfgan_robust.classifiers import old_configs
from tfgan_robust.classifiers.file_kinds import H5, KERAS, check_kind
from tfgan_robust.errors import UsageError, in_one_line

# Of an error's text, which Keras fills with whole configurations.
_MOST_SAID = 240
_CONFIG, _WEIGHTS, _ATTRIBUTE = (
    "config.json",
    "model.weights.h5",
    "model_config",
)
_REBUILD = (
    "build the network of Keras's layers in Python, call its `load_weights` "
    "with this file, and `save` it as .keras"
)
_UNKNOWN = re.compile(
    r"(?:Could not locate \w+|Unknown \w+:?|Could not deserialize) "
    r"['\"]?([\w.>]+)"
)


def read_model(path: str | Path) -> tuple[keras.Model, tuple[str, ...]]:
    """Reads a Keras model, whatever its file is called.

    A file of Keras 2, or one that was written on Windows, which this Keras
    does not read as it is, is read from a copy in which the forms of its
    configuration and the names of its groups are those of today.

    Args:
        path: A `.keras` file or an `.h5` file of a whole model. A module that
            defines classes of its model must have been imported.

    Returns:
        The model, not compiled, and what a reader of its figures must know: a
        line that says what was repaired, if anything was.

    Raises:
        UsageError: if it cannot be read.
    """
    path = Path(path)
    kind = check_kind(path)
    try:
        with _named(path, kind) as readable:
            return _load(readable), ()
    # A damaged file surfaces as almost anything, KeyError included.
    except Exception as error:
        first = error
    try:
        with _repaired(path, kind) as (copy, told):
            if not told:
                raise first
            model = _load(copy)
    # As above: its error says more, since the old forms are gone.
    except Exception as error:
        raise _refusal(path, kind, error) from None
    return model, (
        f"{path.name} is of another version of Keras, and was read with its "
        f"forms brought up to date: {', '.join(told)}",
    )


def _load(path: Path) -> keras.Model:
    with warnings.catch_warnings():
        # KerasHub's models have an optimizer though none was asked for.
        warnings.filterwarnings("ignore", "Skipping variable loading for opt")
        return keras.models.load_model(path, compile=False)


@contextmanager
def _named(path: Path, kind: str) -> Iterator[Path]:
    """Yields a path to a file whose name ends as Keras expects of its kind."""
    endings = (".keras",) if kind == KERAS else (".h5", ".hdf5")
    if str(path).endswith(endings):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"model{endings[0]}"
        link.symlink_to(path.absolute())
        yield link


@contextmanager
def _repaired(path: Path, kind: str) -> Iterator[tuple[Path, list[str]]]:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"model{'.keras' if kind == KERAS else '.h5'}"
        repair = _repair_keras if kind == KERAS else _repair_h5
        yield copy, repair(path, copy)


def _repair_keras(path: Path, copy: Path) -> list[str]:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        config, told = old_configs.repaired(json.loads(_config(path, KERAS)))
        for name in old.namelist():
            content = old.read(name)
            if name == _CONFIG:
                content = json.dumps(config).encode()
            elif name == _WEIGHTS:
                content, renamed = _with_slashes(content)
                told += renamed
            new.writestr(name, content)
    return told


def _repair_h5(path: Path, copy: Path) -> list[str]:
    content, renamed = _with_slashes(path.read_bytes())
    copy.write_bytes(content)
    with h5py.File(copy, "r+") as file:
        config, told = old_configs.repaired(json.loads(_config(path, H5)))
        file.attrs[_ATTRIBUTE] = json.dumps(config).encode()
    return told + renamed


def _with_slashes(content: bytes) -> tuple[bytes, list[str]]:
    """Returns an HDF5 file whose groups lie in each other as on Linux."""
    old = h5py.File(io.BytesIO(content), "r")
    names: list[str] = []
    old.visit(names.append)
    if not any("\\" in name for name in names):
        return content, []
    written = io.BytesIO()
    with h5py.File(written, "w") as new:
        for name in names:
            target = name.replace("\\", "/")
            if isinstance(old[name], h5py.Dataset):
                new[target] = old[name][()]
            else:
                new.require_group(target)
            for key, value in old[name].attrs.items():
                new[target].attrs[key] = value
        for key, value in old.attrs.items():
            new.attrs[key] = value
    return written.getvalue(), ["groups named with backslashes"]


def _refusal(path: Path, kind: str, error: Exception) -> UsageError:
    text = " ".join(str(error).split())
    unknown = _UNKNOWN.search(text)
    name = unknown[1].split(".")[-1] if unknown else None
    if name in ("TFOpLambda", "SlicingOpLambda"):
        named = _functions(_config(path, kind))
        said = (
            f"holds functions of TensorFlow between its layers{named}, which "
            f"Keras 3 does not read; {_REBUILD}"
        )
    elif name == "AdversarialClassifier":
        said = (
            "holds a whole model of this package, with what trains its "
            "classifier; load it with Keras, after `from tfgan_robust import "
            "AdversarialClassifier`, save its `trained`, and give that"
        )
    elif name is not None and name != "Lambda":
        said = (
            f"needs {name}, which Keras does not know; import the module that "
            "registers it first (commands do so with --import)"
        )
    elif "Lambda" in _cause(error):
        said = "holds a Lambda layer, whose code Keras does not run unasked"
        if kind == KERAS and "function_type" not in text:
            said += (
                ". If you trust the file, import a module that calls "
                "keras.config.enable_unsafe_deserialization() first (commands "
                "do so with --import)"
            )
        else:
            said += f"; {_REBUILD}"
    else:
        said = f"cannot be loaded as a Keras model ({_cause(error)})"
    return UsageError(f"{path} {said}.")


def _config(path: Path, kind: str) -> str:
    """Returns the configuration of a file of a whole model, JSON."""
    if kind == KERAS:
        with zipfile.ZipFile(path) as archive:
            return archive.read(_CONFIG).decode()
    with h5py.File(path) as file:
        stored = file.attrs[_ATTRIBUTE]
        return stored.decode() if isinstance(stored, bytes) else str(stored)


def _functions(text: str) -> str:
    found = dict.fromkeys(re.findall(r'"function": "([\w.]+)"', text))
    return f" ({', '.join(found)})" if found else ""


def _cause(error: Exception) -> str:
    """Returns the innermost cause, which Keras names last."""
    kind, _, text = in_one_line(error).partition(": ")
    cause = text.split("Exception encountered: ")[-1]
    if len(cause) > _MOST_SAID:
        cause = f"{cause[:_MOST_SAID]}..."
    return f"{kind}: {cause}"
