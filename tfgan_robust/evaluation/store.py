"""The files of an evaluation, from which it also goes on after a stop."""

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_robust import files, identity
from tfgan_robust.attacks.engine.outcome import CleanPass, Outcome
from tfgan_robust.attacks.plan import AttackPlan
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.kept import (
    DamagedError,
    Entry,
    Kept,
    read_kept,
    write_npz,
)
from tfgan_robust.identity import Identity
from tfgan_robust.lazy import load
from tfgan_robust.locking import alone_in
from tfgan_robust.reports import tables
from tfgan_robust.reports.results import (
    SCHEMA_VERSION,
    Evaluation,
    Smallest,
    result_name,
)
from tfgan_robust.reports.verdicts import Check

_SECONDS_BETWEEN_SAVES = 30.0
RESULTS, PROGRESS = "results.json", "progress.npz"
_LOCK = ".evaluating"


def locked(folder: Path) -> AbstractContextManager[None]:
    """Keeps others from measuring into a folder, which is made.

    Entering it raises UsageError if one does already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return alone_in(
        folder,
        _LOCK,
        f"Another process is measuring into {folder}. Wait for it, or give "
        "another `output`.",
    )


class EvaluationStore:
    """The files of one evaluation: for people, and for going on.

    `results.json` and `results.csv` hold the figures, `masks.npz` the
    verdict on each image, `smallest.npz` the smallest perturbations that
    fool, and `progress.npz` all that is needed to go on.

    Args:
        folder: Where the files go, `locked` while several processes may want
            it; None for nowhere.
        conditions: JSON values that hold for all figures, such as the
            device; they become part of results.json. One that is
            "replaceable" is not written over one that is not.
        belongs_to: The identity of what is measured: everything but the
            attacks that a verdict depends on.
        guides: The identities of other networks that attacks may follow, by
            what they are called in `load` and `save`.
        overwrite: Whether what the folder holds is dropped, whatever it is.
        known: What other processes measured of the same, beside what the
            folder holds.

    Raises:
        UsageError: if the folder holds an evaluation of something else.
    """

    def __init__(
        self,
        folder: Path | None,
        conditions: Mapping[str, Any],
        belongs_to: Identity,
        *,
        guides: Mapping[str, Identity] | None = None,
        overwrite: bool = False,
        known: Kept | None = None,
    ) -> None:
        self._folder, self._conditions = folder, conditions
        self._belongs_to, self._guides = belongs_to, guides or {}
        self._kept = Kept()
        self._saved = time.monotonic()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if not overwrite:
                self._take_up(folder)
        if known is not None:
            self._kept = dataclasses.replace(known, audits=self._kept.audits)

    def _take_up(self, folder: Path) -> None:
        """Goes on with what a folder holds, unless it is of something else."""
        stored = {}
        if (folder / RESULTS).is_file():
            stored = files.read_json_object(folder / RESULTS)
        try:
            there, kept = read_kept(folder / PROGRESS) or (None, Kept())
        except DamagedError as error:
            print(
                f"NOTE: {folder / PROGRESS} is damaged ({error}); what it "
                "held is measured again"
            )
            there, kept = None, Kept()
        if not stored and there is None:
            return
        if there is None:
            there = stored.get("identity")
        if there is None:
            other = ["identity"]
            reason = "an earlier version, which does not say what it belongs to"
        elif not isinstance(there, dict):
            other = ["identity"]
            reason = f"which {RESULTS} is damaged: its identity is none"
        else:
            other = identity.differences(there, self._belongs_to)
            reason = f"something else: different are {', '.join(other)}"
        consents = _consents(stored, there)
        if not other:
            self._kept = kept
            before = stored if kept.entries else {}
            self._conditions = {
                **self._conditions,
                **identity.with_earlier(before, self._conditions),
            }
            if stored and not consents and self._conditions.get("replaceable"):
                # Its attacks and its audit stay as they are.
                self._folder = None
        elif not consents:
            raise UsageError(
                f"{folder} holds an evaluation of {reason}. Give another "
                "`output`, or `overwrite` to replace what is there."
            )

    @property
    def is_written(self) -> bool:
        """Whether what is measured goes to files."""
        return self._folder is not None

    @property
    def smallest(self) -> Smallest:
        """The smallest perturbations known so far."""
        return self._kept.smallest

    def load_clean(self) -> CleanPass | None:
        """Returns what is known of the clean images, None for nothing."""
        return self._kept.clean

    def save_clean(self, clean: CleanPass) -> None:
        """Keeps what a classifier says of the clean images."""
        self._kept.clean = clean
        self._write_progress()

    def load(self, plan: AttackPlan, eps: float) -> Outcome | None:
        """Returns what is known of an attack at a radius, None for nothing."""
        entry = self._kept.entries.get(result_name(plan.name, eps))
        if entry is None or entry.plan != self._described(plan):
            return None
        return entry.outcome

    def is_due(self) -> bool:
        """Tells whether it is time to save again."""
        return time.monotonic() - self._saved > _SECONDS_BETWEEN_SAVES

    def save(self, plan: AttackPlan, eps: float, outcome: Outcome) -> None:
        """Writes what is known of an attack at a radius, and `smallest`."""
        key = result_name(plan.name, eps)
        self._kept.entries[key] = Entry(self._described(plan), outcome)
        self._write_progress()
        self._saved = time.monotonic()

    def _described(self, plan: AttackPlan) -> Any:
        """Returns all that an attack's verdicts depend on, as JSON values."""
        guides = {
            name: identity.of_settings(identity.exactly(guide))
            for name, guide in self._guides.items()
            if name in plan.guides
        }
        described = [dataclasses.asdict(plan), guides]
        code = identity.of_code(stage.row.attack for stage in plan.stages)
        if code:
            described.append(code)
        return json.loads(json.dumps(described))

    def load_audit(self, key: str) -> list[Check] | None:
        """Returns the audit that was made under the same conditions."""
        return self._kept.audits.get(key)

    def save_audit(self, key: str, checks: Sequence[Check]) -> None:
        """Keeps an audit.

        Args:
            key: Names the conditions, such as the radius.
            checks: What was found.
        """
        self._kept.audits[key] = list(checks)
        self._write_progress()

    def write(
        self, evaluation: Evaluation, images: np.ndarray, labels: np.ndarray
    ) -> None:
        """Writes results.json, results.csv, masks.npz and smallest.npz."""
        if self._folder is None:
            return
        stated = {
            "schema_version": SCHEMA_VERSION,
            **self._conditions,
            "identity": self._belongs_to,
        }
        files.write_json(
            self._folder / RESULTS,
            identity.with_digest({**stated, **evaluation.to_json()}),
        )
        flat = {name: _in_words(v) for name, v in self._conditions.items()}
        files.write_text(
            self._folder / "results.csv", tables.to_csv(evaluation, flat)
        )
        masks = {"labels": labels}
        for (attack, eps), mask in evaluation.masks.items():
            name = result_name(attack, eps)
            masks[name] = mask
            masks[f"{name}:predicted"] = evaluation.predicted[attack, eps]
        write_npz(self._folder / "masks.npz", masks)
        write_npz(
            self._folder / "smallest.npz",
            _smallest_arrays(self.smallest, images, labels),
        )

    def write_page(self) -> None:
        """Writes evaluation.md, if there is anything to write it from."""
        if self._folder is not None and (self._folder / RESULTS).exists():
            # Loads the plotting library.
            load("tfgan_robust.reports.page:write_report")(self._folder)

    def _write_progress(self) -> None:
        if self._folder is not None:
            self._kept.write(self._folder / PROGRESS, self._belongs_to)


def _consents(stored: Mapping[str, Any], there: Any) -> bool:
    """Tells whether an evaluation may be replaced by one of something else.

    Damage is no consent, nor is that of figures to the loss of what was begun
    after them.

    Args:
        stored: What results.json holds.
        there: The identity of what was measured last.
    """
    return (
        stored.get("replaceable") is True
        and identity.fits_digest(stored)
        and stored.get("identity") == there
    )


def _smallest_arrays(
    smallest: Smallest, images: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    found = smallest.found
    order = sorted(found, key=lambda index: found[index][0])
    clean = images[order]
    if clean.dtype != np.uint8:
        clean = np.round(clean * 255).astype(np.uint8)
    attacked = np.array([found[i][3] for i in order], np.float32)
    return {
        "clean": clean,
        # Of the images' shape even if there is none.
        "attacked": attacked.reshape(clean.shape),
        "index": np.array(order, np.int64),
        "norm": np.array([found[i][0] for i in order], np.float32),
        "label": labels[order].astype(np.int64),
        "predicted": np.array([found[i][2] for i in order], np.int64),
        "attack": np.array([found[i][1] for i in order], np.str_),
    }


def _in_words(value: Any) -> str:
    """One condition, as a cell of a table."""
    if isinstance(value, Mapping):
        return " ".join(f"{k}={v}" for k, v in value.items())
    return str(value)
