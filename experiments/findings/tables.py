"""Tables of REPORT.md that every experiment has, from its rows."""

from collections.abc import Iterator, Sequence
from typing import Any

from experiments.findings.evidence import method_of, seeds_of
from experiments.harness.experiment import (
    Row,
    accuracy,
    attacks_in,
    checkpoints_in,
    dates_in,
    entry,
    images_in,
    radii_in,
)
from experiments.harness.runner import duration
from experiments.harness.variants import TIME
from tfgan_robust.attacks.plan import CLEAN
from tfgan_robust.identity import all_of
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.tables import audit_line, markdown_table

# Columns of rows that tell one from the other, whatever the experiment.
_TELLING = (
    "formulation", "settings by", "variant", "network", "precision", "budget",
    TIME, "checkpoint", "split", "seed", "epochs",
)  # fmt: skip
# What differs between seeds and machines alone.
_NO_SETTINGS = ("seed", "data_dir")


def conditions(rows: Sequence[Row]) -> str:
    """Returns data, networks, seeds, devices, dates and time of rows."""
    trials: dict[str, float] = {}
    for row in rows:
        taken = max(row["training seconds"], trials.get(row["trial"], 0.0))
        trials[row["trial"]] = taken
    audits = dict.fromkeys(row.get("audit", audit_line(None)) for row in rows)
    return (
        f"{rows[0]['data']}, {images_in(rows)}; "
        f"{len(trials)} training{'s' if len(trials) > 1 else ''} in "
        f"{duration(sum(trials.values()))}; {checkpoints_in(rows)}; "
        f"{seeds_of(rows)} for each row; {_machines(rows)}, measured "
        f"{dates_in(rows)}; "
        f"{', '.join(audits)}."
    )


def _machines(rows: Sequence[Row]) -> str:
    trained, measured = (
        all_of(sorted({row[name] for row in rows}))
        for name in ("trained on", "device")
    )
    if trained == measured:
        return trained
    return f"trained on {trained}, measured on {measured}"


def accuracies(rows: Sequence[Row]) -> str:
    """Returns all accuracies, with 95 % intervals."""
    told = telling(rows)
    measured = columns(rows)
    return markdown_table(
        [*told, *(_title(*column) for column in measured)],
        [
            [str(row.get(column, "")) for column in told]
            + [_share(row, *column) for column in measured]
            for row in rows
        ],
    )


def over_seeds(rows: Sequence[Row]) -> str:
    """Returns mean and range over seeds, if anything has several."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        key = (method_of(row), row["checkpoint"], row["split"])
        groups.setdefault(key, []).append(row)
    if all(len(group) == 1 for group in groups.values()):
        return "One seed for each row (n = 1): there is no range of seeds."
    told = [column for column in telling(rows) if column != "seed"]
    measured = columns(rows)
    return "Mean over seeds, with the range:\n\n" + markdown_table(
        [*told, "seeds", "precisions", *(_title(*each) for each in measured)],
        [
            [str(group[0].get(column, "")) for column in told]
            + [str(len(group)), all_of([trained_in(row) for row in group])]
            + [_range(group, *column) for column in measured]
            for group in groups.values()
        ],
    )


def how(rows: Sequence[Row]) -> Iterator[str]:
    """Yields how rows were trained and measured, one by one and together."""
    every = [settings(row) for row in rows]
    names = dict.fromkeys(name for each in every for name in each)
    values = {
        name: {str(each[name]) for each in every if name in each}
        for name in names
    }
    shared = {n: found.pop() for n, found in values.items() if len(found) == 1}
    told = telling(rows)
    yield markdown_table(
        (*told, "training", "attacks", "measured on", "precision", "settings"),
        [
            (
                *(str(row.get(column, "")) for column in told),
                duration(row["training seconds"]),
                _attacking(row),
                images_in([row]),
                trained_in(row),
                flags({n: v for n, v in own.items() if n not in shared}),
            )
            for row, own in zip(rows, every, strict=True)
        ],
    )
    yield (
        "Training is the time of all steps at the pace of the median epoch, "
        "without validation, attacks that of all attacks together."
    )
    yield f"Settings that are the same wherever they occur: `{flags(shared)}`."
    attacks = "\n".join(f"- {line}" for line in _protocols(rows))
    if attacks:
        yield f"How attacks were run:\n\n{attacks}"


def settings(row: Row) -> dict[str, str]:
    """Returns the settings of a training, defaults included if known."""
    found = row["resolved"] if "resolved" in row else row["settings"]
    return {
        name: _value(name, value)
        for name, value in found.items()
        if value is not None and name not in _NO_SETTINGS
    }


def flags(given: dict[str, str]) -> str:
    """Returns settings as a command has them."""
    return " ".join(f"--{n}={value}" for n, value in sorted(given.items()))


def telling(rows: Sequence[Row]) -> list[str]:
    """Returns the columns in which rows differ."""
    return [
        column
        for column in _TELLING
        if len({str(row.get(column, "")) for row in rows}) > 1
    ]


def columns(rows: Sequence[Row]) -> list[tuple[str, float]]:
    """Returns attacks and radii at which something was measured."""
    wanted = [(CLEAN, 0.0)] + [
        (attack, eps) for attack in attacks_in(rows) for eps in radii_in(rows)
    ]
    return [w for w in wanted if any(entry(row, *w) for row in rows)]


def _title(attack: str, eps: float) -> str:
    return f"{attack}, {format_eps(eps)}" if eps else attack


def _share(row: Row, attack: str, eps: float) -> str:
    found = entry(row, attack, eps)
    if found is None:
        return ""
    shares = (100 * found[key] for key in ("accuracy", "low", "high"))
    return "{:.1f} ({:.1f} to {:.1f})".format(*shares)


def _range(group: Sequence[Row], attack: str, eps: float) -> str:
    values = [accuracy(row, attack, eps) for row in group]
    known = [value for value in values if value is not None]
    if not known:
        return ""
    middle = sum(known) / len(known)
    if len(known) == 1:
        return f"{middle:.1f}"
    return f"{middle:.1f} ({min(known):.1f} to {max(known):.1f})"


def trained_in(row: Row) -> str:
    """Returns the precision in which a row was trained."""
    return str(row.get("trained in") or settings(row).get("precision", ""))


def _attacking(row: Row) -> str:
    known = [e["seconds"] for e in row["accuracy"] if "seconds" in e]
    return duration(sum(known)) if known else ""


def _value(name: str, value: Any) -> str:
    if isinstance(value, float):
        return format_eps(value) if name.endswith("eps") else f"{value:g}"
    return str(value)


def _protocols(rows: Sequence[Row]) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for row in rows:
        for each in row["accuracy"]:
            if each["attack"] != CLEAN and "how" in each:
                ways = found.setdefault(each["attack"], [])
                if each["how"] not in ways:
                    ways.append(each["how"])
    for attack, ways in found.items():
        yield f"`{attack}`: {' / '.join(ways)}"
