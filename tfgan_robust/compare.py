"""Lays evaluations side by side: `python -m tfgan_robust.compare`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.reports.comparison import load
from tfgan_robust.reports.comparison_page import (
    format_comparison,
    write_comparison,
)

USAGE = """
Lays evaluations side by side: accuracies, whether they can be compared, and
whether classifiers differ by more than chance.

  python -m tfgan_robust.compare runs/cifar10-grad_x-0 runs/cifar10-pgd-0
  python -m tfgan_robust.compare R1 R2 R3 --output=comparison
"""


def main() -> None:
    """Runs the command line."""
    try:
        options = _parse(sys.argv[1:])
        runs = load(options.runs)
        text = format_comparison(runs)
        if options.output is not None:
            write_comparison(runs, options.output)
        print(text)
    except (TfganRobustError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", TfganRobustError.exit_code))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See --help.")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m tfgan_robust.compare",
        usage="%(prog)s RUN... [--output=DIR]",
        description=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        type=Path,
        help="A folder that holds results.json.",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="Folder for compare.md, compare.csv and compare.png.",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
