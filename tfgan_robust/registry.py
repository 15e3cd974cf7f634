"""Tables of the kinds of parts that there are: attacks, networks and others.

Each room keeps the table of its kind. A row names what implements the part,
so that a command knows all names before TensorFlow is loaded.
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from tfgan_robust.errors import UsageError

Row = TypeVar("Row")


class Registry(Mapping[str, Row]):
    """The parts of one kind, by name, in the order of help texts.

    Args:
        kind: What a part is called, as in errors: "network".
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._rows: dict[str, Row] = {}

    def add(self, name: str, row: Row) -> Row:
        """Adds a part.

        Args:
            name: As on the command line and in reports.
            row: What this kind of part is described by.

        Returns:
            The row.

        Raises:
            UsageError: if the name is taken.
        """
        if name in self._rows:
            raise UsageError(
                f"There is a {self._kind} of that name already. "
                f"Received: {name}."
            )
        self._rows[name] = row
        return row

    def __getitem__(self, name: str) -> Row:
        """Returns a row.

        Raises:
            UsageError: for an unknown name.
        """
        if name not in self:
            raise UsageError(
                f"Unknown {self._kind}; known are {', '.join(self._rows)}. "
                f"Received: {name or 'nothing'}."
            )
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        # A file may hold anything in a name's place.
        return isinstance(name, str) and name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
