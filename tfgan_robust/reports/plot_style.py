"""How figures look, and files that are small and the same everywhere."""

import io
import itertools
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from tfgan_robust import files

MAX_BYTES = 200_000
# More names are not legible.
_MAX_NAMED = 100
# Clean images and the worst case look the same in all figures.
CLEAN_COLOR, WORST_COLOR = "#4e8fc7", "#22262b"
# To be told apart by colour-blind readers too.
PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
    "#8c6d31", "#7f7f7f",
)  # fmt: skip
# Beside the colour, for prints without any.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "p")
GREY = "#5f6772"
_RESOLUTIONS = (144, 110, 84, 64)
# Curves, intervals and cells: nothing else has ink.
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#b4bac2",
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.size": 9,
    "grid.color": "#e4e7eb",
    "legend.frameon": False,
    # A class may have dollar signs in its name.
    "text.parse_math": False,
    "xtick.color": GREY,
    "xtick.major.size": 0,
    "ytick.color": GREY,
    "ytick.major.size": 0,
}


@matplotlib.rc_context(STYLE)
def save(figure: Figure, path: Path, *, note: str) -> None:
    """Writes a PNG of at most `MAX_BYTES`, as sharp as it can be.

    Args:
        figure: Of one of the functions above.
        path: Where it goes.
        note: What a reader must know with it, such as n and the audit. It
            takes the place of a `supxlabel`, which a figure must not have.
    """
    wrapped = textwrap.fill(note, int(figure.get_figwidth() * 16))
    figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=7.5, color=GREY)
    for dpi in _RESOLUTIONS:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # A class may have a name that the font cannot show.
            warnings.filterwarnings("ignore", "Glyph .* missing")
            # Without the version of Matplotlib, to be the same everywhere.
            figure.savefig(
                buffer, format="png", dpi=dpi, metadata={"Software": None}
            )
        if buffer.tell() <= MAX_BYTES:
            break
    with files.replacing(path) as partial:
        partial.write_bytes(buffer.getvalue())


def in_percent(ax: Axes, which: Literal["x", "y"]) -> None:
    """Gives an axis of shares the whole range in percent."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(MultipleLocator(0.2))
    axis.set_major_formatter(PercentFormatter(1, 0))
    ax.grid(axis=which)


def name_ticks(axis: Axis, names: Sequence[str], rotation: float = 0) -> None:
    """Writes a name at each whole number, none if there are too many."""
    if len(names) > _MAX_NAMED:
        axis.set_ticks([])
        return
    axis.set_ticks(
        range(len(names)), [short(name) for name in names], rotation=rotation,
        color=WORST_COLOR, fontsize=letter_size(len(names)),
    )  # fmt: skip


def short(text: str, width: int = 14) -> str:
    """Cuts a long name off."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def apart(names: Iterable[str], width: int = 32) -> dict[str, str]:
    """Shortens names to a width, or to more where they would be the same.

    Args:
        names: Repeated ones count once.
        width: Letters that are enough for one that stands alone.

    Returns:
        By name, in their order, what is left: its beginning and its end.
    """
    whole = dict.fromkeys(names)
    tries = (
        {name: _without_middle(name, letters) for name in whole}
        for letters in itertools.count(width)
    )
    return next(cut for cut in tries if len({*cut.values()}) == len(whole))


def _without_middle(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    # Runs differ more often at their end, where the seed is.
    end = 2 * width // 3
    return f"{text[: width - 1 - end]}…{text[-end:]}"


def letter_size(count: int) -> float:
    """Returns a size of letters at which so many lines stand apart."""
    return min(9.0, 500 / count)
