"""Tables in Markdown that read well as text, too."""

import re
from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table, aligned for those who read it as text."""
    lines = [[escape(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines
    )


def escape(text: str) -> str:
    """Keeps what a name holds from being Markdown, or more than a line."""
    return re.sub(r"([\\|`*<]|(?<=\])\()", r"\\\1", " ".join(text.split()))
