"""progress.npz: all that an evaluation needs to go on after a stop."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_robust import files
from tfgan_robust.attacks.engine.outcome import (
    CleanPass,
    Outcome,
    StageTotals,
)
from tfgan_robust.identity import Identity, of_arrays
from tfgan_robust.reports.reading import read_arrays
from tfgan_robust.reports.results import Smallest
from tfgan_robust.reports.verdicts import Check

# Of an outcome, with the kinds of their values.
_ARRAYS = {
    "fooled": "b", "predicted": "iu", "stage": "iu", "size": "f", "stored": "b",
}  # fmt: skip
# Of a clean pass, with the kinds of their values and their axes.
_CLEAN = {"predicted": ("iu", 1), "correct": ("b", 1), "ranking": ("iu", 2)}


@dataclasses.dataclass
class Entry:
    """What is known of one attack at one radius.

    Attributes:
        plan: All that its verdicts depend on, as JSON values.
        outcome: As far as it went.
    """

    plan: Any
    outcome: Outcome


@dataclasses.dataclass
class Kept:
    """What an evaluation found so far.

    Attributes:
        entries: By the name of a result.
        audits: By the conditions under which they were made.
        smallest: The smallest perturbations.
        clean: What was said of the clean images; None if it is not known.
    """

    entries: dict[str, Entry] = dataclasses.field(default_factory=dict)
    audits: dict[str, list[Check]] = dataclasses.field(default_factory=dict)
    smallest: Smallest = dataclasses.field(default_factory=Smallest)
    clean: CleanPass | None = None

    def write(self, path: Path, identity: Identity) -> None:
        """Writes the file as a whole.

        Args:
            path: The file.
            identity: What is measured.
        """
        found = self.smallest.found
        meta = {
            "identity": identity,
            "entries": {
                name: {
                    "plan": entry.plan,
                    "totals": [
                        dataclasses.asdict(t) for t in entry.outcome.totals
                    ],
                    "largest_perturbation": entry.outcome.largest_perturbation,
                }
                for name, entry in self.entries.items()
            },
            "smallest": [[i, *found[i][:3]] for i in found],
            "audits": {
                key: [dataclasses.asdict(check) for check in checks]
                for key, checks in self.audits.items()
            },
        }
        arrays = {
            f"{name}:{part}": getattr(entry.outcome, part)
            for name, entry in self.entries.items()
            for part in _ARRAYS
        }
        images = {f"smallest:{i}": found[i][3] for i in found}
        clean = {
            f"clean:{part}": getattr(self.clean, part)
            for part in _CLEAN
            if self.clean is not None
        }
        meta_array = np.array(json.dumps(meta))
        write_npz(path, {**arrays, **images, **clean, "meta": meta_array})


def read_kept(path: Path) -> tuple[Identity, Kept] | None:
    """Reads what an evaluation left, and what was measured.

    Returns:
        None if there is no such file.

    Raises:
        DamagedError: if it is not as `Kept.write` left it.
    """
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path)
        # Verdicts that were changed would be believed otherwise.
        if str(arrays.pop("digest")) != of_arrays(arrays):
            raise ValueError("its parts do not belong together")
        meta = json.loads(str(arrays.pop("meta")))
        entries = {
            str(name): _entry(str(name), stored, arrays)
            for name, stored in meta["entries"].items()
        }
        clean = _clean(arrays)
        lengths = {len(e.outcome.fooled) for e in entries.values()}
        if clean is not None:
            lengths.add(len(clean.correct))
        count = meta["identity"].get("number of images")
        if len(lengths) > 1 or count is not None and lengths - {count}:
            raise ValueError(f"outcomes of {lengths} images")
        smallest = Smallest()
        for index, size, attack, predicted in meta["smallest"]:
            image = arrays[f"smallest:{index}"]
            if image.ndim != 3 or image.dtype.kind != "f":
                raise ValueError(f"smallest:{index} is no image")
            smallest.found[int(index)] = (
                float(size), str(attack), int(predicted), image,
            )  # fmt: skip
        audits = {
            str(key): [Check(**check) for check in checks]
            for key, checks in meta["audits"].items()
        }
    # Whatever is not as it was written: a key, a kind, a length.
    except (
        ArithmeticError, AttributeError, LookupError, RecursionError,
        TypeError, ValueError,
    ) as error:  # fmt: skip
        raise DamagedError(f"{type(error).__name__}: {error}") from None
    return meta["identity"], Kept(entries, audits, smallest, clean)


class DamagedError(Exception):
    """A file that is not as it was written."""


def _clean(arrays: Mapping[str, np.ndarray]) -> CleanPass | None:
    found = {part: arrays.get(f"clean:{part}") for part in _CLEAN}
    # Files of earlier versions have none.
    if all(array is None for array in found.values()):
        return None
    for part, (kinds, axes) in _CLEAN.items():
        array = found[part]
        if array is None or array.ndim != axes or array.dtype.kind not in kinds:
            raise ValueError(f"clean:{part} is not as it was written")
    clean = CleanPass(**found)  # type: ignore[arg-type]
    if len({len(getattr(clean, part)) for part in _CLEAN}) > 1:
        raise ValueError("the arrays of clean differ in length")
    return clean


def _entry(
    name: str, stored: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Entry:
    found = {part: arrays[f"{name}:{part}"] for part in _ARRAYS}
    for part, kinds in _ARRAYS.items():
        array = found[part]
        if array.ndim != 1 or array.dtype.kind not in kinds:
            raise ValueError(f"{name}:{part} is {array.dtype} {array.shape}")
    if len({len(array) for array in found.values()}) > 1:
        raise ValueError(f"the arrays of {name} differ in length")
    totals = [StageTotals(**each) for each in stored["totals"]]
    # Of clean errors it is -1.
    if np.any((found["stage"] > len(totals)) | (found["stage"] < -1)):
        raise ValueError(f"{name} has {len(totals)} stages")
    largest = float(stored["largest_perturbation"])
    return Entry(stored["plan"], Outcome(**found, totals=totals,
                 largest_perturbation=largest))  # fmt: skip


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name, and a digest of them, as a whole."""
    whole = {**arrays, "digest": np.array(of_arrays(arrays))}
    with files.replacing(path) as partial, partial.open("wb") as file:
        # Typed as if any of the names could be `allow_pickle`.
        np.savez_compressed(file, **whole)  # type: ignore[arg-type]
