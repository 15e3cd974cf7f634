"""`.keras` files that are equal, byte for byte, if their networks are."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras

from tfgan_robust import files

# The earliest that a zip file can state.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_CONFIG, _METADATA = "config.json", "metadata.json"
_SHARED, _DATE = "shared_object_id", "date_saved"


def save_network(network: keras.Model, path: Path) -> None:
    """Writes a `.keras` file as a whole.

    Keras writes down the time, and the addresses at which layers share
    objects. Neither means anything to who loads the file.

    Args:
        network: Any model that Keras can save.
        path: The file, which ends in ".keras".
    """
    with files.replacing(path) as partial:
        network.save(partial)
        with zipfile.ZipFile(partial) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        parts[_CONFIG] = _without_addresses(parts[_CONFIG])
        metadata = json.loads(parts[_METADATA])
        metadata[_DATE] = ""
        parts[_METADATA] = json.dumps(metadata).encode()
        with zipfile.ZipFile(partial, "w") as archive:
            for name, content in parts.items():
                archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content)


def _without_addresses(config: bytes) -> bytes:
    """Numbers shared objects in the order in which they appear."""
    numbers: dict[int, int] = {}

    def number(found: dict[str, Any]) -> dict[str, Any]:
        if _SHARED in found:
            address = found[_SHARED]
            found[_SHARED] = numbers.setdefault(address, len(numbers))
        return found

    return json.dumps(json.loads(config, object_hook=number)).encode()
