"""Radii of an evaluation: the defaults, and those of a command line."""

from tfgan_robust.cli import fields
from tfgan_robust.data.registry import DATASETS, Dataset
from tfgan_robust.errors import UsageError, shown
from tfgan_robust.reports.numbers import (
    check_eps,
    check_radii,
    format_eps,
)

# L-infinity radii, where no data set has others.
DEFAULT_EPS = Dataset.eps
# Euclidean radii.
L2_EPS = (0.25, 0.5, 1.0)


def eps_help() -> str:
    """Describes --eps with the radii of the table of data sets."""
    others = [
        f"for {name} {_as_given(row.eps)}; "
        for name, row in DATASETS.items()
        if row.eps != DEFAULT_EPS
    ]
    return (
        "Comma-separated radii: whole numbers are 255ths, or, with norm=l2, as "
        "they stand; fractions (8/255) and decimals (0.1) are on the [0, 1] "
        f"pixel scale. Default: {_as_given(DEFAULT_EPS)}; {''.join(others)}"
        f"for norm=l2 {','.join(map(str, L2_EPS))}."
    )


def parse_eps(text: str, norm: str = "linf") -> tuple[float, ...]:
    """Parses radii, each as `fields.parse_length` does.

    Raises:
        UsageError: for anything else, a radius that is given twice, or one
            outside (0, 1], which for Euclidean radii has no upper end.
    """
    radii = []
    for part in text.split(","):
        radius = parse_length("eps", part, norm)
        try:
            check_eps(radius, norm)
        except UsageError:
            raise _bad("eps", part, norm) from None
        radii.append(radius)
    check_radii(radii, norm)
    return tuple(radii)


def parse_length(name: str, text: str, norm: str) -> float:
    """Parses one length as `fields.parse_length` does.

    Raises:
        UsageError: naming the option, if the text is no positive number.
    """
    try:
        length = fields.parse_length(text, norm)
    except ValueError:
        length = float("nan")
    if not 0 < length < float("inf"):
        raise _bad(name, text, norm)
    return length


def _bad(name: str, text: str, norm: str) -> UsageError:
    forms = (
        "whole numbers of 255ths (8), or fractions (8/255) or decimals (0.1) "
        "in (0, 1]"
        if norm == "linf"
        else "positive numbers on the [0, 1] pixel scale (0.5, 128/255)"
    )
    return UsageError(
        f"`{name}` takes {forms}. Received: {name}={shown(text) or 'nothing'}."
    )


def _as_given(radii: tuple[float, ...]) -> str:
    return ",".join(format_eps(eps).removesuffix("/255") for eps in radii)
