"""The table of data sets. A new one is a file with `load`, and a row here."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tfgan_robust import lazy
from tfgan_robust.errors import UsageError
from tfgan_robust.registry import Registry

if TYPE_CHECKING:
    from tfgan_robust.data.splits import DatasetInfo, Split


# What the names of the sets of tensorflow-datasets begin with.
TFDS = "tfds:"
# How the whole family is called in the table.
_TFDS_ROW = f"{TFDS}NAME"


class Loader(Protocol):
    """What the file of a data set must offer."""

    def __call__(
        self,
        data_dir: str | Path | None,
        image_size: int | None,
        split: str,
        /,
    ) -> "tuple[DatasetInfo, Split]":
        """Loads a split into memory, always in the same order.

        Args:
            data_dir: Where the data lie; None for the data set's own place.
            image_size: Side in pixels to which images are resized; None for
                the data set's own.
            split: "train" or "test".

        Returns:
            Description and images.

        Raises:
            UsageError: for arguments or files that do not fit.
            DataNotFoundError: if the data are not there.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A row of the table.

    Attributes:
        load: A `Loader`, or where it is: "package.module:attribute".
        help: A few words for the command line.
        defaults: Settings of training that fit these images, by name.
        eps: L-infinity radii of reports, in (0, 1].
        mirrored: Whether a mirrored image is known to be of its class still.
        mixed: Whether its test images come in an order in which the first n
            stand for all, so that subsets may be taken from the front.
        undefended: Settings, beside the defaults, of a training without a
            defence that takes about a minute; None if nobody knows them.

    Raises:
        UsageError: for a radius out of range, or none.
    """

    load: str | Loader
    help: str
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    eps: tuple[float, ...] = (4 / 255, 8 / 255, 16 / 255)
    mirrored: bool = False
    mixed: bool = False
    undefended: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.eps or not all(0 < eps <= 1 for eps in self.eps):
            raise UsageError(
                "`eps` of a data set must hold radii in (0, 1]. "
                f"Received: {self.eps}."
            )


class _Datasets(Registry[Dataset]):
    """The table, in which one row stands for all sets of a family."""

    def __getitem__(self, name: str) -> Dataset:
        """Returns a row.

        Raises:
            UsageError: for an unknown name.
        """
        if not _is_tfds(name):
            return super().__getitem__(name)
        set_name = name.removeprefix(TFDS)
        known = _TFDS_SETS.get(set_name.partition(":")[0], {})
        return dataclasses.replace(
            super().__getitem__(_TFDS_ROW),
            load=functools.partial(_load_tfds, set_name),
            **known,
        )

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or _is_tfds(name)


def _is_tfds(name: object) -> bool:
    return isinstance(name, str) and name.startswith(TFDS) and name != TFDS


def _load_tfds(
    set_name: str,
    data_dir: str | Path | None,
    image_size: int | None,
    split: str,
) -> "tuple[DatasetInfo, Split]":
    load = lazy.load("tfgan_robust.data.tfds_sets:load")
    return load(set_name, data_dir, image_size, split)


DATASETS = _Datasets("data set")
DATASETS.add(
    "cifar10",
    Dataset(
        load="tfgan_robust.data.cifar10:load",
        help="CIFAR-10 through tensorflow-datasets",
        mirrored=True,
        # Everybody measures its first n test images.
        mixed=True,
        undefended={"classifier_width": 0.25, "epochs": 3},
    ),
)
DATASETS.add(
    "digits",
    Dataset(
        load="tfgan_robust.data.digits:load",
        help="scikit-learn's digits (no download)",
        # Papers on MNIST use eps from 0.1 to 0.3 (arXiv:1706.06083,
        # arXiv:1711.00851); digits of 8 x 8 strokes leave room for 0.1 only.
        defaults={
            "eps": 0.2,
            "eval_eps": 0.1,
            "eval_images": 144,
            "classifier_width": 0.25,
            "batch_size": 64,
            "epochs": 30,
            "eval_every": 5,
        },
        eps=(0.05, 0.1, 0.2),
        mixed=True,
        undefended={"epochs": 10},
    ),
)
DATASETS.add(
    "folder",
    Dataset(
        load="tfgan_robust.data.folder:load",
        help="a folder of images",
    ),
)
DATASETS.add(
    _TFDS_ROW,
    Dataset(
        load=functools.partial(_load_tfds, "NAME"),
        help=(
            "an image classification set that tensorflow-datasets has "
            "prepared, such as tfds:cifar100"
        ),
    ),
)
# What is known of some; others are not mirrored, since who knows. Digits and
# clothes of 28 x 28 nearly binary pixels stand larger radii
# (arXiv:1706.06083, arXiv:1711.00851).
_TFDS_SETS: Mapping[str, Mapping[str, Any]] = {
    "cifar10": {"mirrored": True},
    "cifar100": {"mirrored": True},
    "stl10": {"mirrored": True},
    "mnist": {
        "defaults": {"eps": 0.3, "eval_eps": 0.3},
        "eps": (0.1, 0.2, 0.3),
    },
    "fashion_mnist": {
        "defaults": {"eps": 0.1, "eval_eps": 0.1},
        "eps": (0.05, 0.1, 0.2),
        "mirrored": True,
    },
}
