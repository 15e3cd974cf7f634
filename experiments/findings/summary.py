"""What was found, in a few sentences and figures, from stored results."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.findings import marks
from experiments.findings.claims.claim import Claim
from experiments.findings.claims.every import CLAIMS
from experiments.findings.claims.overfitting import explanations
from experiments.findings.claims.training_time import rivals
from experiments.findings.comparisons import UNKNOWN, Finding
from experiments.findings.evidence import Results, with_seeds
from experiments.findings.intervals import (
    AGREES,
    DISAGREES,
    UNCLEAR,
    MissingError,
    difference,
)
from experiments.findings.reasons import withstanding
from experiments.findings.tables import conditions
from experiments.harness.variants import UNIT
from tfgan_robust.errors import UsageError
from tfgan_robust.reports.tables import markdown_table

BEGIN, END = (
    f"<!-- {word} of what `python -m experiments.report --readme` writes -->"
    for word in ("Begin", "End")
)
_WORDS = {
    AGREES: "What was found here agrees with the paper",
    DISAGREES: "It disagrees",
    UNCLEAR: "It cannot be distinguished",
    UNKNOWN: "It gives no answer",
}


def judged(results: Results) -> list[tuple[Claim, Finding]]:
    """Returns the paper's claims with what was found."""
    return [(claim, claim.judge(results)) for claim in CLAIMS]


def paragraphs(results: Results) -> Iterator[str]:
    """Yields what was found on claims, formulations and overfitting."""
    found = judged(results)
    for verdict, words in _WORDS.items():
        texts = [
            _under_conditions(claim, each)
            for claim, each in found
            if each.verdict == verdict
        ]
        if texts:
            listed = "\n".join(f"- {text}" for text in texts)
            yield f"{words} ({len(texts)} of {len(found)}):\n\n{listed}"
    yield from _told(results)


def _under_conditions(claim: Claim, found: Finding) -> str:
    if found.verdict == UNKNOWN or not found.conditions:
        return claim.text
    return f"{claim.text} Here: {found.conditions}."


def _told(results: Results) -> Iterator[str]:
    yield from formulations(results)
    yield from overfitting(results)
    yield from efficient(results)


def formulations(results: Results) -> Iterator[str]:
    """Yields which formulations withstand PGD under the paper's settings."""
    told = dict(withstanding(results))
    for answer, words in (
        (True, "withstand"),
        (False, "were not found to withstand"),
    ):
        names = [f"`{name}`" for name, each in told.items() if each is answer]
        if names:
            yield (
                f"Under the paper's settings, these {words} PGD-100 at 8/255 "
                "(more than the baseline, and than a constant answer): "
                f"{', '.join(names)}."
            )


def overfitting(results: Results) -> Iterator[str]:
    """Yields which ablations change the gap of training and test images."""
    found = [each for each in explanations(results) if each.change is not None]
    for verdict, words in (
        ("less", "gets smaller with"),
        ("more", "grows with"),
        (UNCLEAR, "is not told from that of the base with"),
    ):
        listed = [
            f"{each.variant} ({each.change} points)"
            for each in found
            if each.verdict == verdict
        ]
        if listed:
            yield (
                "The gap of training and test images "
                f"{words}: {'; '.join(listed)}, whose intervals hold together "
                "at 95 %."
            )


def efficient(results: Results) -> Iterator[str]:
    """Yields who leaves the most accuracy in each training time."""
    if "efficiency" not in results:
        return
    stored, told = with_seeds(results, "efficiency"), False
    for budget in sorted({row["budget"] for row in stored["rows"]}):
        try:
            learned, other = rivals(stored, budget)
        except MissingError:
            continue
        gap = difference(learned, other)
        words = {
            AGREES: "generators leave more accuracy than whatever does without",
            DISAGREES: "generators leave less accuracy than what does without",
            UNCLEAR: "generators are not told from what does without",
        }[gap.within(low=0.0)]
        yield (
            f"Trained for as long as {budget} epochs of `{UNIT}` take, "
            f"{words}. Of those with the most seeds, the best with generators "
            f"is {learned} %, the best without {other} %; difference {gap} "
            "points."
        )
        told = True
    if told:
        yield (
            "Behind an accuracy stands the range of its seeds, if it has more "
            "than one, behind a difference its 95 % interval."
        )


def readme(results: Results, folder: Path, file: Path, page: Path) -> str:
    """Returns a file's text with what was found between its marks.

    Args:
        results: What experiments published.
        folder: Of their figures.
        file: Markdown that holds `BEGIN` and `END`, each once.
        page: The report, to which it links.

    Raises:
        UsageError: if it does not.
    """
    text = file.read_text("utf-8") if file.is_file() else ""
    marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if (
        text.count(BEGIN) != 1
        or text.count(END) != 1
        or not (marked.search(text))
    ):
        raise UsageError(
            f"{file} must hold these two lines, once each and in this order: "
            f"{BEGIN} and {END}."
        )
    lines = _block(results, folder, file.parent, page)
    block = "\n\n".join([BEGIN, *lines, END])
    return marked.sub(lambda _: block, text)


def _block(
    results: Results, folder: Path, beside: Path, page: Path
) -> Iterator[str]:
    yield (
        f"What {marks.STATED['source']}, claims, and what "
        "`python -m experiments.run_all` found:"
    )
    found = judged(results)
    answered = [
        (claim.text, claim.source, finding.verdict, finding.conditions)
        for claim, finding in found
        if finding.verdict != UNKNOWN
    ]
    if answered:
        columns = ("claim", "section", "found here", "differs here")
        yield markdown_table(columns, answered)
    if missing := len(found) - len(answered):
        yield (
            f"{missing} of {len(found)} claims have no answer yet; the "
            f"[report]({relative(page, beside)}) says what each of them lacks."
        )
    yield from _told(results)
    for name, stored in results.items():
        for figure in main_figures(folder, name):
            yield f"![{stored['title']}]({relative(figure, beside)})"
            yield _caption(stored)


def relative(file: Path, beside: Path) -> str:
    """Returns how a page in a folder links to a file."""
    return Path(os.path.relpath(file, beside)).as_posix()


def _caption(stored: Mapping[str, Any]) -> str:
    # One without rows says all of itself.
    rows = stored["rows"] or [stored]
    return f"*{stored['title']}* (`{stored['command']}`): {conditions(rows)}"


def main_figures(folder: Path, name: str) -> list[Path]:
    """Returns an experiment's figures that stand for it."""
    own = folder / f"{name}.png"
    points = folder / f"{name}_points.png"
    return [each for each in (own, points) if each.is_file()]
