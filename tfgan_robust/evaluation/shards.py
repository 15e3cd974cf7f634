"""Parts of an evaluation that several processes measure; needs no TensorFlow.

Attacks need no communication: what is drawn for an image depends on the seed,
the attack and the image's place among all of them, and no image changes the
verdict on another one.
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.errors import UsageError, shown
from tfgan_robust.identity import Identity

# In the folder of the whole evaluation.
FOLDER = "shards"
# So many digits; more are nobody's cluster.
_PATTERN = re.compile(r"(\d{1,6})/(\d{1,6})")
# In a shard's identity: which one it is, and the identity of all the images.
_SHARD, _WHOLE = "shard", "all images"


class Shard(NamedTuple):
    """A run of neighbouring images.

    Attributes:
        number: Which one, from 1.
        parts: How many there are.
    """

    number: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Parses one such as "3/8".

        Raises:
            UsageError: for anything else.
        """
        match = _PATTERN.fullmatch(text)
        if match is not None:
            found = cls(int(match[1]), int(match[2]))
            if 1 <= found.number <= found.parts:
                return found
        raise UsageError(
            "`shard` must name one of several parts, from 1/8 to 8/8. "
            f"Received: shard={shown(text)}."
        )

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"

    def folder(self, whole: Path) -> Path:
        """Returns where it is kept.

        Args:
            whole: The folder of the whole evaluation.
        """
        return whole / FOLDER / f"{self.number}-of-{self.parts}"

    def images(self, total: int) -> slice:
        """Returns which images it holds; sizes differ by one at most.

        Args:
            total: How many images there are.

        Raises:
            UsageError: if there are fewer images than parts.
        """
        if total < self.parts:
            raise UsageError(
                f"`shard` splits {total} images, and each part must hold one. "
                f"Received: shard={self}."
            )
        return slice(
            (self.number - 1) * total // self.parts,
            self.number * total // self.parts,
        )

    def identify(self, whole: Identity, own: Identity) -> Identity:
        """Returns the identity of what a shard measures.

        Args:
            whole: Of what one process would measure.
            own: Of the shard's images, by names that `whole` has too.
        """
        all_images = {name: whole[name] for name in own}
        return {**whole, **own, _SHARD: str(self), _WHOLE: all_images}


def whole_identity(identity: Identity) -> tuple[Shard, Identity]:
    """Returns what `Shard.identify` was given, but for the shard's images.

    Raises:
        UsageError: if it is not the identity of a shard.
    """
    rest = dict(identity)
    text, all_images = rest.pop(_SHARD, None), rest.pop(_WHOLE, None)
    if not isinstance(text, str) or not isinstance(all_images, dict):
        raise UsageError("It is no part of an evaluation.")
    return Shard.parse(text), {**rest, **all_images}


_machines = functools.partial(setting, group="Several machines")
_RAY = re.compile("ray(?:://(.+))?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """Who measures parts, and where they are put together.

    Raises:
        UsageError: for a value out of its limits or contradictory values.
    """

    merge: str | None = _machines(
        None,
        "Put the parts together that were measured by `shard` into this "
        "folder as `output`; nothing but places and the audit is said anew.",
    )
    cluster: str | None = _machines(
        None,
        "Let the workers of a Ray cluster measure all parts, and put them "
        "together: ray for the cluster of this machine, or one that is "
        "started for the time; ray://HOST:PORT for that of this head.",
    )
    shards: int | None = _machines(
        None,
        "Into how many parts `cluster` divides the images. Default: 4 for "
        "each worker, or as many as there are.",
        minimum=1,
        maximum=999_999,
    )
    cores: int | None = _machines(
        None,
        "Cores of each worker of `cluster`. Default: 1 beside a GPU; where "
        "there is none, all of the smallest machine.",
        minimum=1,
    )

    def __post_init__(self) -> None:
        fields.check(self)
        if self.cluster is not None and not _RAY.fullmatch(self.cluster):
            raise UsageError(
                "`cluster` must be ray or ray://HOST:PORT. Received: "
                f"cluster={shown(self.cluster)}."
            )
        if self.cluster is not None and self.merge is not None:
            raise UsageError(
                "`cluster` puts parts together itself. Received: "
                f"cluster={self.cluster} with merge={self.merge}."
            )
        for name in ("shards", "cores"):
            value = getattr(self, name)
            if self.cluster is None and value is not None:
                raise UsageError(
                    f"`{name}` goes with `cluster`. Received: {name}={value}."
                )

    @property
    def address(self) -> str | None:
        """Of the head of the cluster; None for that of this machine."""
        match = _RAY.fullmatch(self.cluster or "")
        return match and match[1]

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> "ClusterSettings":
        """Takes its settings, by name, out of those of a command."""
        own = [name for name in fields.field_names(cls) if name in given]
        return cls(**{name: given.pop(name) for name in own})
