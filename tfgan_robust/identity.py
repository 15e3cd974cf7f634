"""What a figure belongs to, computed from content; needs no TensorFlow.

An identity is a mapping of JSON values: digests, and what a person reads. Two
of them are compared part by part, so that an error can name what differs.
"""

import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_robust.files import sha256

Identity = dict[str, Any]

_NUM_PROBES = 4
# Of the largest answer. Other processors round logits otherwise, other code
# computes other logits.
_ROUNDING = 1e-3
_BYTES = 16
_AND = " and "


def of_images(
    images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> Identity:
    """Returns the identity of images, in their order, with their labels.

    Args:
        images: uint8 or floating point [n, height, width, channels].
        labels: Integer [n].
        class_names: Of the labels, in their order; empty if not known.
    """
    digests = b"".join(image_digests(images))
    return {
        "number of images": len(images),
        "images": _digest(digests),
        "labels": _digest(np.asarray(labels, "<i8").tobytes()),
        "class names": list(class_names),
    }


def image_digests(images: np.ndarray) -> list[bytes]:
    """Returns a digest of each image's pixels; equal images have equal ones.

    Args:
        images: uint8 or floating point [n, height, width, channels].
    """
    kind = f"{images.dtype.str} {images.shape[1:]}".encode()
    return [
        hashlib.blake2b(
            np.ascontiguousarray(image).data, digest_size=_BYTES, key=kind[:64]
        ).digest()
        for image in images
    ]


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns a digest of arrays of numbers or text, and of their names."""
    parts = [
        f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes()
        for name, array in sorted(arrays.items())
    ]
    return _digest(b"".join(parts))


def probes(image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the images on which networks are told apart.

    Args:
        image_shape: Height, width, channels.

    Returns:
        float32 [4, height, width, channels] in [0, 1].
    """
    generator = np.random.default_rng(0)
    return generator.random((_NUM_PROBES, *image_shape), np.float32)


def of_network(
    structure: bytes, weights: Iterable[np.ndarray], answers: np.ndarray
) -> Identity:
    """Returns the identity of a network: of what it computes.

    Args:
        structure: Its configuration or graph.
        weights: All that it computes with, in their order.
        answers: float32 [4, num_classes], its logits on `probes`. They tell
            apart what code of a user's own computes.
    """
    digest = hashlib.blake2b(digest_size=_BYTES)
    for array in weights:
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return {
        "structure": _digest(structure),
        "weights": digest.hexdigest(),
        "answers": [[_rounded(answer) for answer in row] for row in answers],
    }


def of_code(parts: Iterable[Any]) -> dict[str, str]:
    """Returns digests of the files that define parts of a user's own.

    What comes with the package is told apart by its version.

    Args:
        parts: Classes and functions, or their places, "package.module:name".

    Returns:
        By module; empty if all come with the package.
    """
    names = {
        part.partition(":")[0] if isinstance(part, str) else part.__module__
        for part in parts
        if part is not None
    }
    found = {}
    for name in sorted(names):
        if name.partition(".")[0] != __package__:
            file = getattr(importlib.import_module(name), "__file__", None)
            found[name] = sha256(Path(file)) if file else "unknown"
    return found


def exactly(found: Any) -> Any:
    """Returns what of identities is the same on every machine.

    Args:
        found: An identity, or a mapping of them.
    """
    if not isinstance(found, Mapping):
        return found
    return {k: exactly(v) for k, v in found.items() if k != "answers"}


def of_machines(
    devices: Sequence[str], versions: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Returns what measured, as results.json says it of several machines.

    Args:
        devices: Of each.
        versions: Of each, by the name of a package; the first has all names.
    """
    return {
        "device": all_of(devices),
        "versions": {
            name: all_of([str(each.get(name)) for each in versions])
            for name in versions[0]
        },
    }


def with_earlier(
    stored: Mapping[str, Any], here: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns device and versions of what goes on where another has begun.

    Args:
        stored: What the other said of itself.
        here: `device` and `versions` of this process.
    """
    device, versions = (stored.get(name) for name in ("device", "versions"))
    # What is damaged says nothing.
    if not (isinstance(device, str) and isinstance(versions, Mapping)):
        return dict(here)
    now = here["versions"]
    return of_machines(
        [device, here["device"]],
        [{name: versions.get(name, now[name]) for name in now}, now],
    )


def all_of(values: Iterable[str]) -> str:
    """Names different values once each, however many it names already."""
    each = (part for value in values for part in value.split(_AND))
    return _AND.join(dict.fromkeys(each))


def _rounded(answer: float) -> float | str:
    # JSON has no numbers that are none.
    text = f"{answer:.6g}"
    return float(text) if np.isfinite(answer) else text


def of_settings(settings: Any) -> str:
    """Returns a digest of JSON values."""
    return _digest(json.dumps(settings, sort_keys=True).encode())


def with_digest(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns JSON values with a digest of them, see `fits_digest`."""
    return {**content, "digest": of_settings(content)}


def fits_digest(stored: Mapping[str, Any]) -> bool:
    """Tells whether JSON values are as `with_digest` returned them.

    What has no digest, as earlier versions wrote it, is taken as it is.
    """
    content = {k: v for k, v in stored.items() if k != "digest"}
    return "digest" not in stored or stored["digest"] == of_settings(content)


def structure_of(config: Any) -> bytes:
    """Returns a configuration as bytes that names of layers do not change.

    Keras numbers the layers of a process as it meets them.

    Args:
        config: JSON values, as `get_config` of a Keras model returns them.
    """
    places: dict[str, str] = {}

    def collect(value: Any) -> None:
        for each in _inner(value):
            collect(each)
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            places.setdefault(value["name"], f"#{len(places)}")

    def rename(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: rename(each)
                for key, each in value.items()
                # A place in memory.
                if key != "shared_object_id"
            }
        if isinstance(value, list | tuple):
            return [rename(each) for each in value]
        return places.get(value, value) if isinstance(value, str) else value

    collect(config)
    return json.dumps(rename(config), sort_keys=True, default=str).encode()


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Returns the names of the parts in which two identities differ.

    Args:
        there: An identity, as it was stored.
        here: Another one. What it has and `there` lacks differs.
    """
    return [
        name
        for name in {**here, **there}
        if name not in there
        or name not in here
        or not _agree(there[name], here[name])
    ]


def _agree(one: Any, other: Any) -> bool:
    if one == other:
        return True
    try:
        first, second = (np.asarray(each, np.float64) for each in (one, other))
    except (OverflowError, TypeError, ValueError):
        return False
    if first.ndim != 2 or first.shape != second.shape:
        return False
    # NaN are equal to NaN: a network that answers so is still the same.
    largest = np.max(np.abs(first[np.isfinite(first)]), initial=0.0)
    return np.allclose(
        first, second, rtol=0, atol=_ROUNDING * largest, equal_nan=True
    )


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_BYTES).hexdigest()
