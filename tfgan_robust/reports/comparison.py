"""Whether evaluations can be compared, and whether they differ by chance."""

import itertools
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.errors import UsageError
from tfgan_robust.reports.numbers import format_eps, mcnemar
from tfgan_robust.reports.reading import (
    UNPROVED,
    StoredEvaluation,
    read_evaluation,
)
from tfgan_robust.reports.results import WORST, correct_within
from tfgan_robust.reports.stage_settings import with_relative_step
from tfgan_robust.reports.verdicts import FAIL, overall

# Evaluations by a name for each.
Runs = Mapping[str, StoredEvaluation]


def load(folders: Sequence[Path]) -> dict[str, StoredEvaluation]:
    """Reads evaluations.

    Args:
        folders: Each of another evaluation.

    Returns:
        Evaluations keyed by the shortest path suffix that no other has.

    Raises:
        UsageError: if a folder is given twice, or holds no evaluation that
            can be read.
    """
    # Not resolved: a link's name is the one that its reader knows.
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"Give each folder once. Received twice: {path}.")
    ends = [
        ["/".join(path.parts[-n:]) for n in range(1, len(path.parts) + 1)]
        for path in paths
    ]
    every = list(itertools.chain(*ends))
    names = [next(e for e in own if every.count(e) == 1) for own in ends]
    return {
        name: read_evaluation(path)
        for name, path in zip(names, paths, strict=True)
    }


def differences(runs: Runs) -> list[str]:
    """Returns why accuracies of these evaluations are not comparable."""
    facts: dict[tuple[str, str], dict[str, str]] = {}
    for name, stored in runs.items():
        for fact, place, value in _facts(stored):
            facts.setdefault((fact, place), {})[name] = value
    found: dict[str, list[str]] = {
        f"{name} is INCOMPLETE": []
        for name, stored in runs.items()
        if not stored.evaluation.complete
    }
    found |= {
        f"{name}: {UNPROVED}": []
        for name, stored in runs.items()
        if stored.conditions.identity is None
    }
    for (fact, place), values in facts.items():
        groups: dict[str, list[str]] = {}
        for name, value in values.items():
            groups.setdefault(value, []).append(name)
        if len(groups) > 1:
            sides = [f"{v} ({', '.join(names)})" for v, names in groups.items()]
            line = f"{fact} differs: {'; '.join(sides)}"
            found.setdefault(line, []).append(place)
    # One line for the same difference at several radii.
    return [
        f"{line}, at {', '.join(places)}" if any(places) else line
        for line, places in found.items()
    ]


def paired(runs: Runs) -> list[str]:
    """Returns a paired test of each two evaluations on the same images."""
    lines = []
    for (a, first), (b, second) in itertools.combinations(runs.items(), 2):
        masks = [stored.evaluation.masks for stored in (first, second)]
        if not _on_the_same_images(first, second):
            continue
        common = [key for key in masks[0] if key in masks[1]]
        parts = []
        for eps in sorted({eps for _, eps in common}):
            one, other = (
                correct_within({key: mine[key] for key in common}, eps)
                for mine in masks
            )
            only = int((one & ~other).sum()), int((other & ~one).sum())
            where = f"{WORST} {format_eps(eps)}" if eps else CLEAN
            parts.append(
                f"{where}: {only[0]} and {only[1]}, p = {mcnemar(*only):.2g}"
            )
        lines.append(f"{a} and {b}: {'; '.join(parts)}")
    return lines


def most_robust(runs: Runs) -> str | None:
    """Names the evaluation of the highest worst case where all have one.

    That is at the largest radius of one norm. Evaluations that were
    interrupted, or whose audit says FAIL, are left out.

    Returns:
        Its name, the first of equal ones; None if none is left, or if there
        is no such radius.
    """
    found = {}
    for name, stored in runs.items():
        evaluation = stored.evaluation
        if evaluation.complete and overall(evaluation.audit or []) != FAIL:
            found[name] = {
                (evaluation.norm, row.eps): row.accuracy
                for row in evaluation.pointwise
            }
    if not found:
        return None
    common = set.intersection(*map(set, found.values()))
    if not common:
        return None
    # All rows of an evaluation are of one norm.
    where = max(common)
    return max(found, key=lambda name: found[name][where])


def _on_the_same_images(
    first: StoredEvaluation, second: StoredEvaluation
) -> bool:
    """Tells whether images can be paired, as far as it is known."""
    identities = [first.conditions.identity, second.conditions.identity]
    images = {identity["images"] for identity in identities if identity}
    return (
        first.evaluation.norm == second.evaluation.norm
        and len(first.labels) > 0
        and np.array_equal(first.labels, second.labels)
        and len(images) <= 1
    )


def _facts(stored: StoredEvaluation) -> Iterator[tuple[str, str, str]]:
    """Yields what must agree, where (an eps, if it has one), and its value."""
    evaluation, dataset = stored.evaluation, stored.conditions.dataset
    attacked = [r for r in evaluation.results if r.attack != CLEAN]
    yield "number of images", "", f"{evaluation.num_images:,}"
    yield "data set", "", f"{dataset.name} from {dataset.source}"
    yield "split", "", dataset.split
    if len(stored.labels):
        digest = zlib.crc32(stored.labels.astype("<i8").tobytes())
        yield "checksum of the labels", "", f"{digest:08x}"
    if stored.conditions.identity is not None:
        yield (
            "fingerprint of the images",
            "",
            stored.conditions.identity["images"],
        )
    yield "norm", "", evaluation.norm
    yield "seed", "", str(evaluation.seed)
    yield (
        "list of attacks",
        "",
        ", ".join(dict.fromkeys(r.attack for r in attacked)),
    )
    radii = sorted({r.eps for r in attacked})
    yield "list of eps", "", ", ".join(map(format_eps, radii))
    for result in attacked:
        where = format_eps(result.eps)
        yield f"protocol of {result.attack}", where, result.protocol
        stages = [
            {"name": s.name, **with_relative_step(s.settings, result.eps)}
            for s in result.stages
        ]
        for setting in dict.fromkeys(itertools.chain(*stages)):
            told = ", ".join(str(s.get(setting, "-")) for s in stages)
            yield f"{setting} of {result.attack}", where, told
