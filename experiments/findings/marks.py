"""What the paper states, to stand beside what is measured here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from tfgan_robust.files import read_json_object

STATED = read_json_object(Path(__file__).parent / "paper.json")


def pgd_100() -> dict[float, float]:
    """Returns the paper's accuracies under PGD-100, in %, by radius in 255ths.

    Of `grad` with generators x2 after 100 epochs (Table 2).
    """
    return {
        float(eps): float(stated)
        for eps, stated in STATED["table 2"]["pgd-100"].items()
    }


def applies(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tells whether rows are of the paper's data set."""
    return all(
        row["settings"].get("dataset", "cifar10") == "cifar10" for row in rows
    )


def draw_pgd(panel: Axes) -> None:
    """Marks them over radii in 255ths."""
    stated = pgd_100()
    panel.plot(
        list(stated),
        list(stated.values()),
        "kx",
        markersize=6,
        label="paper, grad x2",
        zorder=5,
    )
