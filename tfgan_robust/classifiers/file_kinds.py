"""Tells by its content what somebody's model file is."""

import zipfile
from pathlib import Path

import h5py

from tfgan_robust.errors import UsageError

KERAS, H5 = "keras", "h5"
_LONGEST = 64
_AGAIN = "download the file itself"
# Of files that are often taken for models: how they begin, from which byte
# on, what they are, and what to do.
_OTHERS = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the model",
     f"run `git lfs pull` where it was cloned, or {_AGAIN}"),
    (0, b"<", "a web page, not the model", f"{_AGAIN}, such as its raw link"),
    (0, b"{", "JSON, not a whole model", "build the network with "
     "keras.models.model_from_json, load its weights, and save it as .keras"),
    (4, b"TFL3", "a LiteRT model, which has no gradients to follow",
     "give the Keras model that it was made of"),
    (0, b"\x80", "a pickle, which runs what code it holds",
     "load it where you trust it, and save the network as .keras"),
    (0, b"\x1f\x8b", "compressed with gzip", "unpack it first"),
)  # fmt: skip


def check_kind(path: Path) -> str:
    """Tells what a file holds, whatever it is called.

    Args:
        path: Of a file.

    Returns:
        "keras" or "h5".

    Raises:
        UsageError: for anything else than a whole model in either form, or a
            file that cannot be read.
    """
    begin = _beginning(path)
    if zipfile.is_zipfile(path):
        _check_archive(path)
        return KERAS
    if h5py.is_hdf5(path):
        _check_h5(path)
        return H5
    for start, mark, what, remedy in _OTHERS:
        if begin[start:].lstrip().startswith(mark):
            raise UsageError(f"{path} is {what}; {remedy}.")
    size = path.stat().st_size
    what = "is empty" if size == 0 else "is neither a .keras nor an .h5 file"
    raise UsageError(
        f"{path} cannot be loaded as a Keras model: it {what}; {_AGAIN} "
        f"again. Received: {size} bytes."
    )


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be loaded as a Keras model: {error.strerror}."
        ) from None


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "config.json" in names:
        return
    what = "holds no config.json"
    if any(name.endswith("data.pkl") for name in names):
        what = "is a PyTorch file"
    elif any(name.endswith((".keras", ".h5", "saved_model.pb"))
             for name in names):  # fmt: skip
        what = "holds model files; unpack it first"
    raise UsageError(
        f"{path} cannot be loaded as a Keras model: the archive {what}."
    )


def _check_h5(path: Path) -> None:
    try:
        with h5py.File(path) as file:
            whole = "model_config" in file.attrs
    except OSError as error:
        raise UsageError(
            f"{path} cannot be loaded as a Keras model: it is damaged "
            f"({' '.join(str(error).split())}); {_AGAIN} again."
        ) from None
    if not whole:
        raise UsageError(
            f"{path} holds weights alone, without the network; build it in "
            "Python, call its `load_weights` with this file, and `save` it as "
            ".keras."
        )
