"""Command line of comparisons: `python -m tfgan_robust.compare`."""

import dataclasses
from pathlib import Path
from typing import Any

from tfgan_robust.cli import command, fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.cli.flags import Part
from tfgan_robust.cli.hints import following, of_run
from tfgan_robust.reports import comparison, comparison_page
from tfgan_robust.runs.directory import RunDirectory

USAGE = """
Lays evaluations side by side: accuracies, whether they can be compared, and
whether classifiers differ by more than chance.

  python -m tfgan_robust.compare runs/cifar10-grad_x-0 runs/cifar10-pgd-0
  python -m tfgan_robust.compare R1 R2 R3 --output=comparison
"""
_GROUP = "Comparison"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """What to compare.

    Raises:
        UsageError: for empty text, or no folder.
    """

    runs: tuple[str, ...] = setting(
        (),
        "Folders that hold results.json.",
        group=_GROUP,
        positional="RUN",
    )
    output: str | None = setting(
        None,
        "Folder for compare.md, compare.csv and compare.png.",
        group=_GROUP,
    )

    def __post_init__(self) -> None:
        fields.check(self)


def main() -> None:
    """Runs the command line."""
    command.main(lambda: [Part(CompareSettings)], _run, usage=USAGE)


def _run(given: dict[str, Any]) -> None:
    options = CompareSettings(**given)
    runs = comparison.load([Path(run) for run in options.runs])
    text = comparison_page.format_comparison(runs)
    if options.output is not None:
        comparison_page.write_comparison(runs, Path(options.output))
    print(text)
    _close(options, runs)


def _close(options: CompareSettings, runs: comparison.Runs) -> None:
    """Says where the comparison is, and what comes next."""
    if options.output is None:
        print("nothing was kept; --output=FOLDER keeps this, with a plot")
    else:
        print(f"written to {Path(options.output) / 'compare.md'}")
    trained = {
        folder: stored
        for folder, stored in zip(options.runs, runs.values(), strict=True)
        if RunDirectory(Path(folder)).config.is_file()
    }
    best = comparison.most_robust(trained)
    if best is None:
        print(following("compare", *options.runs, "ANOTHER_FOLDER"))
        return
    run = of_run(best, trained[best].conditions.checkpoint)
    print(following("export", *run, "--output=served"))


if __name__ == "__main__":
    main()
