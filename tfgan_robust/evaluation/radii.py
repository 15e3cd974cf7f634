"""Radii of an evaluation: the defaults, and those of a command line."""

from tfgan_robust.cli import fields
from tfgan_robust.data.registry import DATASETS, Dataset
from tfgan_robust.errors import UsageError
from tfgan_robust.reports.numbers import check_eps, format_eps

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
        "Comma-separated radii: whole numbers are 255ths, fractions (8/255) "
        "and decimals (0.1) are on the [0, 1] pixel scale. Default: "
        f"{_as_given(DEFAULT_EPS)}; {''.join(others)}for norm=l2 "
        f"{','.join(map(str, L2_EPS))}."
    )


def parse_eps(text: str, norm: str = "linf") -> tuple[float, ...]:
    """Parses radii: "8" is 8/255, "8/255" and "0.03" are what they say.

    Raises:
        UsageError: for anything else, or a radius outside (0, 1], which for
            Euclidean radii has no upper end.
    """
    radii = []
    for part in text.split(","):
        try:
            whole = part.strip().isdecimal()
            radius = int(part) / 255 if whole else fields.parse_number(part)
            check_eps(radius, norm)
        except ValueError:
            raise UsageError(
                "`eps` must list whole numbers of 255ths (8), or fractions "
                "(8/255) or decimals (0.1) in (0, 1]. "
                f"Received: {part.strip() or 'nothing'} in eps={text}."
            ) from None
        radii.append(radius)
    return tuple(radii)


def _as_given(radii: tuple[float, ...]) -> str:
    return ",".join(format_eps(eps).removesuffix("/255") for eps in radii)
