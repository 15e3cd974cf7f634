"""One process's part of an evaluation, in its folder; needs no TensorFlow."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfgan_robust import files, identity
from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.cli.fields import field_names
from tfgan_robust.errors import UsageError, shown
from tfgan_robust.evaluation.kept import DamagedError, Kept, read_kept
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.shards import FOLDER, Shard, whole_identity
from tfgan_robust.evaluation.store import PROGRESS, RESULTS
from tfgan_robust.identity import Identity
from tfgan_robust.reports.reading import parse_evaluation
from tfgan_robust.reports.results import result_name

# What a part was asked for.
_SETTINGS = "shard.json"


class Part(NamedTuple):
    """What the folder of a part holds.

    Attributes:
        folder: Which one.
        shard: Its images.
        facts: What all parts of an evaluation have in common, by name, as far
            as this part knows.
        complete: Whether all is measured that it was asked for.
        identity: Of what one process would have measured.
        kept: What was measured, of what it was asked for.
        settings: What it was asked for, by name.
        conditions: What its results say of the machine.
        jit_compile: Whether XLA compiled the attacks.
    """

    folder: Path
    shard: Shard
    facts: dict[str, Any]
    complete: bool
    identity: Identity
    kept: Kept
    settings: dict[str, Any]
    conditions: Any
    jit_compile: bool


def write_settings(options: EvaluateSettings) -> None:
    """Writes what a part was asked for beside what it will measure."""
    if options.folder is not None:
        files.write_json(
            options.folder / _SETTINGS, dataclasses.asdict(options)
        )


def part_folders(whole: Path) -> list[Path]:
    """Returns where parts are.

    Args:
        whole: The folder of the whole evaluation.
    """
    return sorted(path.parent for path in whole.glob(f"{FOLDER}/*/{_SETTINGS}"))


def read_part(folder: Path) -> Part:
    """Reads one part, as far as it is measured.

    Args:
        folder: One of `part_folders`.

    Raises:
        UsageError: if it is damaged, or holds something else.
    """
    try:
        settings = _read_settings(folder / _SETTINGS)
        known, kept = read_kept(folder / PROGRESS) or (None, Kept())
        if known is None or not (folder / RESULTS).is_file():
            # Its first attack has not come to its end.
            shard = Shard.parse(str(settings.get("shard")))
            return Part(
                folder, shard, {}, False, {}, kept, settings, None, False
            )
        return _measured(folder, settings, known, kept)
    except (DamagedError, KeyError, UsageError) as error:
        raise UsageError(
            f"{folder} is no part of an evaluation, or damaged: {error}. "
            "Measure it again, or remove it."
        ) from None


def _measured(
    folder: Path, settings: dict[str, Any], known: Identity, kept: Kept
) -> Part:
    """Returns a part that has results, which must be those of what is kept."""
    path = folder / RESULTS
    evaluation, conditions = parse_evaluation(
        files.read_json_object(path), str(path)
    )
    if conditions.identity != known:
        raise UsageError(f"{RESULTS} and {PROGRESS} are of two evaluations")
    shard, whole = whole_identity(known)
    names = {
        result_name(result.attack, result.eps): result.num_correct
        for result in evaluation.results
        if result.attack != CLEAN
    }
    # What it was once asked for beside that is left out.
    entries = {name: kept.entries[name] for name in names}
    for name, count in names.items():
        if np.count_nonzero(entries[name].outcome.correct) != count:
            raise UsageError(f"{RESULTS} and {PROGRESS} differ in {name}")
    if evaluation.complete and kept.clean is None:
        raise UsageError(f"{PROGRESS} lacks the clean images")
    facts = {
        "number of parts": shard.parts,
        **whole,
        "XLA": evaluation.jit_compile,
    }
    if evaluation.complete:
        # Otherwise it may lack attacks.
        facts["attacks"] = identity.of_settings(
            {name: entry.plan for name, entry in entries.items()}
        )
    return Part(
        folder, shard, facts, evaluation.complete, whole,
        dataclasses.replace(kept, entries=entries), settings, conditions,
        evaluation.jit_compile,
    )  # fmt: skip


def _read_settings(path: Path) -> dict[str, Any]:
    """Reads what a part was asked for; values are checked when it is used.

    Raises:
        UsageError: if it names what nobody can ask for.
    """
    settings = files.read_json_object(path)
    unknown = settings.keys() - set(field_names(EvaluateSettings))
    if unknown:
        raise UsageError(
            f"{_SETTINGS} has unknown settings: "
            f"{shown(', '.join(sorted(unknown)))}"
        )
    return settings
