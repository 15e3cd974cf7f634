"""Puts together what several processes measured; needs no TensorFlow."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfgan_robust import identity
from tfgan_robust.attacks.engine.outcome import CleanPass, Outcome, StageTotals
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.kept import Entry, Kept
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.part import Part, part_folders, read_part
from tfgan_robust.evaluation.shards import FOLDER, Shard
from tfgan_robust.identity import Identity
from tfgan_robust.reports.results import Smallest

# What can be said anew where parts are put together: where things are there,
# and how to audit.
_FREE = (
    "run_dir", "model", "transfer_from", "undefended", "data_dir", "output",
    "overwrite", "audit", "audit_images",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Parts:
    """What several processes measured, put together.

    Attributes:
        folder: Where the parts are.
        identity: Of what one process would have measured.
        kept: What it would have kept, without an audit.
        settings: What it would have been asked for, by name.
        conditions: What results.json says of the machines.
        jit_compile: Whether XLA compiled the attacks.
    """

    folder: Path
    identity: Identity
    kept: Kept
    settings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    jit_compile: bool

    def options(self, given: Mapping[str, Any]) -> EvaluateSettings:
        """Returns the settings of the whole evaluation.

        Args:
            given: What is said anew, by name.

        Raises:
            UsageError: for what the parts have settled.
        """
        settled = sorted(set(given) - set(_FREE))
        if settled:
            raise UsageError(
                f"The parts have settled `{settled[0]}`; with `merge` go only "
                f"{', '.join(_FREE)}. Received: {settled[0]}="
                f"{given[settled[0]]}."
            )
        places = {"run_dir": None, "model": None}
        moved = places if places.keys() & given.keys() else {}
        whole = {"shard": None, "output": str(self.folder), "overwrite": False}
        return EvaluateSettings(**{**self.settings, **whole, **moved, **given})


def read_parts(folder: Path) -> Parts:
    """Reads all parts of an evaluation, and puts them together.

    Args:
        folder: Of the whole evaluation.

    Raises:
        UsageError: naming parts that are damaged, of another evaluation than
            the others, doubled, missing or not finished.
    """
    found = part_folders(folder)
    if not found:
        raise UsageError(
            f"There are no parts in {folder / FOLDER}. Measure them with "
            "`shard` and the same `output`."
        )
    parts = [read_part(each) for each in found]
    _refuse_foreign(parts)
    parts.sort(key=lambda part: part.shard)
    _refuse_doubled(parts)
    _refuse_missing(folder, parts)
    return _joined(folder, parts)


def _refuse_foreign(parts: Sequence[Part]) -> None:
    """Refuses parts that are not of the evaluation that most are of."""
    groups: list[list[Part]] = []
    for part in parts:
        if not part.facts:
            continue
        for group in groups:
            if not _different(group[0], part):
                group.append(part)
                break
        else:
            groups.append([part])
    if len(groups) < 2:
        return
    groups.sort(key=len, reverse=True)
    first, *others = groups
    told = [
        f"{', '.join(str(part.folder) for part in group)} "
        f"({', '.join(_different(first[0], group[0]))})"
        for group in others
    ]
    raise UsageError(
        f"Not of the same evaluation as {first[0].folder} are, with what "
        f"differs: {'; '.join(told)}. Remove them, or measure them again with "
        "the same flags."
    )


def _different(one: Part, other: Part) -> list[str]:
    """Names what differs of that which is known of both."""
    common = one.facts.keys() & other.facts.keys()
    first, second = (
        {name: value for name, value in part.facts.items() if name in common}
        for part in (one, other)
    )
    return identity.differences(first, second)


def _refuse_doubled(parts: Sequence[Part]) -> None:
    folders: dict[Shard, list[str]] = {}
    for part in parts:
        folders.setdefault(part.shard, []).append(str(part.folder))
    doubled = [
        f"{shard} in {' and '.join(there)}"
        for shard, there in folders.items()
        if len(there) > 1
    ]
    if doubled:
        raise UsageError(
            f"Parts are there more than once: {'; '.join(doubled)}. Remove "
            "all but one of each."
        )


def _refuse_missing(folder: Path, parts: Sequence[Part]) -> None:
    count = max(part.shard.parts for part in parts)
    there = {part.shard for part in parts}
    wanted = [Shard(number, count) for number in range(1, count + 1)]
    # Of one that has no figures yet, nothing but its name is known.
    strays = [str(part.folder) for part in parts if part.shard not in wanted]
    lacking = {
        "missing": [str(shard) for shard in wanted if shard not in there],
        "not finished": [str(p.shard) for p in parts if not p.complete],
        "of another number of parts": strays,
    }
    if any(lacking.values()):
        told = "; ".join(
            f"{k}: {', '.join(v)}" for k, v in lacking.items() if v
        )
        raise UsageError(
            f"Not all {count} parts in {folder / FOLDER} can be put together; "
            f"{told}. The command that measures a part goes on with it."
        )


def _joined(folder: Path, parts: Sequence[Part]) -> Parts:
    first = parts[0]
    kept = [part.kept for part in parts]
    conditions = [part.conditions for part in parts]
    return Parts(
        folder,
        first.identity,
        Kept(
            {
                name: Entry(
                    entry.plan,
                    _joined_outcomes([k.entries[name].outcome for k in kept]),
                )
                for name, entry in first.kept.entries.items()
            },
            smallest=_joined_smallest(parts),
            clean=CleanPass(
                **_joined_arrays([k.clean for k in kept], CleanPass)
            ),
        ),
        first.settings,
        {
            "date": max(each.date for each in conditions),
            **identity.of_machines(
                [each.device for each in conditions],
                [each.versions for each in conditions],
            ),
            "shards": first.shard.parts,
        },
        first.jit_compile,
    )


def _joined_outcomes(outcomes: Sequence[Outcome]) -> Outcome:
    fields = [field.name for field in dataclasses.fields(StageTotals)]
    return Outcome(
        **_joined_arrays(outcomes, Outcome),
        totals=[
            StageTotals(
                **{f: sum(getattr(each, f) for each in stage) for f in fields}
            )
            for stage in zip(*(o.totals for o in outcomes), strict=True)
        ],
        largest_perturbation=max(o.largest_perturbation for o in outcomes),
    )


def _joined_arrays(found: Sequence[Any], kind: Any) -> dict[str, np.ndarray]:
    """Concatenates those fields of a dataclass that are arrays."""
    names = [f.name for f in dataclasses.fields(kind) if f.type is np.ndarray]
    return {
        name: np.concatenate([getattr(each, name) for each in found])
        for name in names
    }


def _joined_smallest(parts: Sequence[Part]) -> Smallest:
    joined = Smallest()
    for part in parts:
        first = part.shard.images(part.identity["number of images"]).start
        for index, (size, attack, predicted, image) in sorted(
            part.kept.smallest.found.items()
        ):
            joined.offer(first + index, size, attack, predicted, image)
    return joined
