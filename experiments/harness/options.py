"""Presets: what all experiments share, and what each is told, as JSON files."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfgan_robust.errors import UsageError
from tfgan_robust.files import read_json_object

FOLDER = Path(__file__).parent.parent / "presets"


@dataclasses.dataclass(frozen=True)
class Section:
    """What one experiment is told.

    Attributes:
        preset: Name of the preset.
        training: Settings of all its trainings.
        measuring: Flags of all its evaluations.
        own: What only it knows, by name.
    """

    preset: str
    training: Mapping[str, Any]
    measuring: Mapping[str, Any]
    own: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Returns something of its own.

        Raises:
            UsageError: if the preset lacks it.
        """
        if name not in self.own:
            raise UsageError(
                f"The preset {self.preset} lacks `{name}` of an experiment; "
                f"it has {', '.join(self.own) or 'nothing'}."
            )
        return self.own[name]


@dataclasses.dataclass(frozen=True)
class Preset:
    """One of the JSON files.

    Attributes:
        name: Without ".json".
        stored: What it holds.
    """

    name: str
    stored: Mapping[str, Any]

    @classmethod
    def load(cls, name: str) -> "Preset":
        """Reads a preset.

        Raises:
            UsageError: for an unknown one.
        """
        file = FOLDER / f"{name}.json"
        if not file.is_file():
            raise UsageError(
                f"`preset` must be one of {', '.join(names())}. "
                f"Received: {name}."
            )
        return cls(name, read_json_object(file))

    def section(self, experiment: str) -> Section:
        """Returns what an experiment is told."""
        own = dict(self.stored.get(experiment, {}))
        return Section(
            self.name,
            {**self.stored["training"], **own.pop("training", {})},
            {**self.stored["measuring"], **own.pop("measuring", {})},
            own,
        )


def names() -> list[str]:
    """Returns the presets' names."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))
