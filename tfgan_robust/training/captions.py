"""Images with words beside and below them, for people who watch a run."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

# Smaller images are enlarged, so that there is room for a word.
_SMALLEST = 64
_TEXT = 11
_LINE = 16
_MARGIN = 84
_WHITE, _BLACK, _RED = (255, 255, 255), (0, 0, 0), (190, 0, 0)


class Row(NamedTuple):
    """A row of images.

    Attributes:
        title: What they are.
        images: float32 [n, height, width, 3] in [0, 1].
        words: One for each, empty for none.
        marked: Which words stand out, bool [n]; none if it is empty.
    """

    title: str
    images: np.ndarray
    words: Sequence[str] = ()
    marked: Sequence[bool] = ()


def draw(rows: Sequence[Row]) -> np.ndarray:
    """Lays rows below each other.

    Args:
        rows: Of images of one size, equally many.

    Returns:
        uint8 [height, width, 3].
    """
    count, height, width, _ = rows[0].images.shape
    scale = max(1, -(-_SMALLEST // min(height, width)))
    tile = (width * scale, height * scale)
    sheet = PIL.Image.new(
        "RGB",
        (_MARGIN + count * tile[0], len(rows) * (tile[1] + _LINE)),
        _WHITE,
    )
    pen = PIL.ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = number * (tile[1] + _LINE)
        pen.text((2, top + 2), row.title, _BLACK, _font())
        for column, pixels in enumerate(row.images):
            left = _MARGIN + column * tile[0]
            image = PIL.Image.fromarray(
                np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
            )
            nearest = PIL.Image.Resampling.NEAREST
            sheet.paste(image.resize(tile, nearest), (left, top))
            if row.words:
                colour = _RED if _is_marked(row, column) else _BLACK
                word = _fitting(row.words[column], tile[0])
                pen.text((left + 1, top + tile[1]), word, colour, _font())
    return np.asarray(sheet)


def _is_marked(row: Row, column: int) -> bool:
    return bool(row.marked) and bool(row.marked[column])


def _fitting(word: str, width: int) -> str:
    """Returns as much of a word as fits."""
    shown = word
    while shown and _font().getlength(shown) > width - 2:
        word = word[:-1]
        shown = f"{word}\N{HORIZONTAL ELLIPSIS}" if word else ""
    return shown


@functools.cache
def _font() -> PIL.ImageFont.FreeTypeFont:
    # It has the letters of most names of classes.
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return PIL.ImageFont.truetype(folder / "DejaVuSans.ttf", _TEXT)
