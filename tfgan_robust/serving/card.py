"""A page for people on an exported classifier."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfgan_robust.reports.breakdown import named_rows
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.reading import UNPROVED, parse_evaluation
from tfgan_robust.reports.results import Evaluation
from tfgan_robust.reports.tables import (
    INTERRUPTED,
    JUDGED_BY,
    NORMS,
    audit_line,
    escape,
    format_share,
    markdown_table,
)
from tfgan_robust.runs.config import from_stored

_UNMEASURED = (
    "**Not measured.** Nothing is known of how this classifier withstands "
    "attacks: `python -m tfgan_robust.evaluate` measures it; an export of a "
    "run that was measured says so here."
)
# Of a run's settings, those that people ask for first.
_TOLD = (
    "method", "formulation", "start_from", "eps", "epochs", "classifier",
    "seed",
)  # fmt: skip


def model_card(metadata: Mapping[str, Any]) -> str:
    """Lays the metadata of an export out for a person, as Markdown.

    Args:
        metadata: As `export` collects them.

    Returns:
        The page.

    Raises:
        UsageError: if its settings or its evaluation are none.
    """
    training = metadata["training"]
    robustness = metadata["robustness"]
    blocks = [
        f"# {escape(metadata['name'])}",
        *_what_it_is(
            metadata["image_shape"], training["dataset"]["class_names"]
        ),
        "## Data",
        *_data(training["dataset"]),
        "## Training",
        _settings(training["settings"]),
        *_before(training.get("begun with") or ()),
        *_rounded(training.get("bits of weights")),
        "## Robustness",
        *(_robustness(robustness) if robustness else [_UNMEASURED]),
        "## Files",
        _files(metadata),
    ]
    return "\n\n".join(blocks) + "\n"


def _what_it_is(image_shape: Sequence[int], names: Sequence[str]) -> list[str]:
    height, width, channels = image_shape
    return [
        "An image classifier that was trained with tfgan_robust. It takes "
        f"images of {height} x {width} pixels and {channels} channels, as "
        "float32 [batch, height, width, channels] in [0, 1], and answers with "
        f"a logit for each of {len(names)} classes, in this order:",
        markdown_table(
            ("number", "class"),
            [(str(n), name) for n, name in enumerate(names)],
        ),
    ]


def _data(dataset: Mapping[str, Any]) -> list[str]:
    return [
        f"{escape(dataset.get('source') or 'Not stated')}.",
        *_noted(dataset.get("notes") or ()),
    ]


def _noted(notes: Sequence[str]) -> list[str]:
    return [f"**NOTE**: {escape(note)}." for note in notes]


def _settings(stored: Mapping[str, Any]) -> str:
    """Lays out what was in force, of what config.json holds."""
    config = dataclasses.asdict(from_stored(stored))
    config["eps"] = format_eps(config["eps"])
    idle = {"eps"} if config["method"] == "natural" else set()
    sees = config.get("start_from", "generator") == "generator"
    idle.add("start_from" if sees else "formulation")
    rows = [
        (name, str(config[name]))
        for name in _TOLD
        if name in config and name not in idle
    ]
    return markdown_table(("setting", "value"), rows)


def _before(begun_with: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says that it went on from other trainings, if it did."""
    if not begun_with:
        return []
    epochs = ", ".join(str(each.get("epochs")) for each in begun_with)
    return [
        f"It went on from earlier trainings, of {epochs} epochs; all settings "
        "are in the JSON file beside this page."
    ]


def _rounded(bits: int | None) -> list[str]:
    return [f"Its weights are rounded to {bits} bits each."] if bits else []


def _files(metadata: Mapping[str, Any]) -> str:
    return markdown_table(
        ("what", "value"),
        [
            ("format", metadata["format"]),
            ("signatures", ", ".join(metadata["signatures"])),
            ("precision", metadata["precision"]),
            ("sha256 of its .keras file", metadata["classifier_sha256"]),
        ],
    )


def _robustness(stored: dict[str, Any]) -> list[str]:
    evaluation, conditions = parse_evaluation(stored, "what was measured")
    dataset = conditions.dataset
    rows = [
        (name, format_eps(row.eps), format_share(row))
        for name, row in named_rows(evaluation)
    ]
    return [
        *([] if evaluation.complete else [INTERRUPTED]),
        *_noted([UNPROVED] if conditions.identity is None else []),
        escape(audit_line(evaluation.audit)),
        _threat_model(evaluation),
        markdown_table(("attack", "eps", "accuracy in %"), rows),
        f"With 95 % Wilson intervals, on {evaluation.num_images:,} images of "
        f"the split {escape(dataset.split)} of {escape(dataset.source)}, "
        f"{escape(conditions.date)}. "
        "Robust accuracies are upper bounds: stronger attacks may find more.",
        *_noted(evaluation.notes),
    ]


def _threat_model(evaluation: Evaluation) -> str:
    told = f"Attacks move images by at most eps: {NORMS[evaluation.norm]}."
    attacked = [result for result in evaluation.results if result.eps]
    protocols = dict.fromkeys(JUDGED_BY[r.protocol] for r in attacked)
    return f"{told} Protocol: {'; '.join(protocols)}." if protocols else told
