"""The figures of a page on an evaluation."""

import itertools

from matplotlib.figure import Figure

from tfgan_robust.reports import plots
from tfgan_robust.reports.breakdown import (
    accuracies,
    confusion,
    shares_by_class,
)
from tfgan_robust.reports.plot_style import PALETTE, WORST_COLOR
from tfgan_robust.reports.reading import StoredEvaluation
from tfgan_robust.reports.results import WORST, Evaluation
from tfgan_robust.reports.tables import format_norm


def draw_figures(stored: StoredEvaluation) -> dict[str, Figure]:
    """Returns the figures for which there are data, by name."""
    evaluation, arrays = stored.evaluation, stored.smallest
    figures = {}
    if evaluation.pointwise:
        figures["accuracy"] = plots.draw_curves(
            {"Accuracy under attack": _curves(evaluation)},
            norm=evaluation.norm,
        )
    if evaluation.pointwise and len(stored.labels):
        figures["classes"] = plots.draw_classes(
            stored.class_names, shares_by_class(stored)
        )
        counts, names, attack = confusion(stored)
        figures["confusion"] = plots.draw_confusion(
            counts, names, title=f"% of each class, {attack}"
        )
    if len(arrays.get("index", ())):
        names = stored.class_names
        figures["smallest"] = plots.draw_smallest(
            arrays["clean"],
            arrays["attacked"],
            [names[label] for label in arrays["label"]],
            [
                f"{name}\n{format_norm(evaluation, norm)}"
                for name, norm in zip(
                    stored.predicted_names(arrays["predicted"]),
                    arrays["norm"],
                    strict=True,
                )
            ],
        )
    return figures


def _curves(evaluation: Evaluation) -> list[plots.Curve]:
    colors = itertools.cycle(PALETTE)
    return [
        plots.Curve(name, WORST_COLOR, rows, bold=True)
        if name == WORST
        else plots.Curve(name, next(colors), rows)
        for name, rows in accuracies(evaluation).items()
    ]
