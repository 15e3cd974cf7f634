"""Figures of evaluations; they know accuracies and images, but no files."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfgan_robust.reports.breakdown import Share
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.plot_style import (
    CLEAN_COLOR,
    GREY,
    MARKERS,
    STYLE,
    WORST_COLOR,
    apart,
    in_percent,
    letter_size,
    name_ticks,
    short,
)
from tfgan_robust.reports.results import Pointwise, Result

# With more classes, figures on all their pairs are not legible.
MAX_PAIRED = 20
_BALLS = {"linf": "L∞, pixels in [0, 1]", "l2": "Euclidean"}
_MEASURE = "accuracy, 95 % intervals"


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line of a figure: accuracy over eps.

    Attributes:
        label: In the legend.
        color: Of the line and its band.
        rows: Accuracies with their intervals, by rising eps.
        bold: Whether it is the one to look at.
    """

    label: str
    color: str
    rows: Sequence[Result | Pointwise]
    bold: bool = False


@matplotlib.rc_context(STYLE)
def draw_curves(panels: Mapping[str, Sequence[Curve]], *, norm: str) -> Figure:
    """Returns accuracies over eps, with bands of their intervals.

    Args:
        panels: The curves of each panel, by its title.
        norm: "linf" or "l2".
    """
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    lines = -(-len(panels) // columns)
    width = 5.4 if columns == 1 else 3.0 * columns
    figure = Figure((width + 1.6, 0.9 + 2.7 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    every = [curve for curves in panels.values() for curve in curves]
    radii = sorted({row.eps for curve in every for row in curve.rows})
    labels = dict.fromkeys(curve.label for curve in every)
    markers = dict(zip(labels, itertools.cycle(MARKERS), strict=False))
    for ax, (title, curves) in zip(axes, panels.items(), strict=False):
        for curve in curves:
            _draw_curve(ax, curve, markers[curve.label])
        ax.set(title=title, ylim=(0, 1), xlabel=f"eps ({_BALLS[norm]})")
        in_percent(ax, "y")
        _mark_radii(ax, radii)
    for ax in axes[::columns]:
        ax.set_ylabel(_MEASURE)
    _add_legend(figure, every)
    return figure


@matplotlib.rc_context(STYLE)
def draw_classes(
    names: Sequence[str],
    shares: Mapping[str, Sequence[Share | None]],
) -> Figure:
    """Returns the accuracy on each class, clean and attacked.

    Args:
        names: The classes.
        shares: Two series by what they are, the clean one first: for each
            class, and None for a class without images.
    """
    figure = Figure(
        (6.4, 1.4 + min(0.36 * len(names), 14)), layout="constrained"
    )
    ax = figure.subplots()
    styles = ((-0.15, CLEAN_COLOR), (0.15, WORST_COLOR))
    for (nudge, color), (label, series) in zip(
        styles, shares.items(), strict=True
    ):
        known = [(i + nudge, *s) for i, s in enumerate(series) if s is not None]
        places, centres, lows, highs = zip(*known, strict=True)
        ax.hlines(places, lows, highs, color=color, lw=2.4, alpha=0.35)
        ax.scatter(
            centres, places, 26, color, label=label, zorder=3, clip_on=False
        )
    ax.set(
        title="Accuracy on each class",
        xlim=(0, 1),
        ylim=(len(names) - 0.4, -0.6),
        xlabel=_MEASURE,
    )
    name_ticks(ax.yaxis, names)
    ax.spines["left"].set_visible(False)
    in_percent(ax, "x")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


@matplotlib.rc_context(STYLE)
def draw_confusion(
    counts: np.ndarray, names: Sequence[str], title: str
) -> Figure:
    """Returns what each class is taken for, in shares of its images.

    Args:
        counts: Integer [classes, predicted], true classes in rows; there may
            be more columns than rows.
        names: Of the columns, of which the first are those of the rows.
        title: The attack.
    """
    size = letter_size(len(names))
    side = min(2.0 + 0.42 * len(names), 12)
    figure = Figure((side + 0.8, side), layout="constrained")
    ax = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if len(names) <= MAX_PAIRED + 1:
        for row, column in np.argwhere(counts > 0):
            share = shares[row, column]
            ax.text(
                column, row, f"{100 * share:.0f}", ha="center", va="center",
                color="white" if share > 0.5 else WORST_COLOR, fontsize=size,
                weight="bold" if row == column else "normal",
            )  # fmt: skip
    name_ticks(ax.xaxis, names, rotation=90)
    name_ticks(ax.yaxis, names[: len(counts)])
    ax.spines[:].set_visible(False)
    ax.set(title=title, xlabel="taken for", ylabel="class")
    return figure


@matplotlib.rc_context(STYLE)
def draw_smallest(
    clean: np.ndarray,
    attacked: np.ndarray,
    labels: Sequence[str],
    captions: Sequence[str],
) -> Figure:
    """Returns images, what was added to them (magnified), and the sum.

    Args:
        clean: uint8 [k, height, width, channels], k at least 1.
        attacked: float32 [k, height, width, channels] in [0, 1].
        labels: Over each clean image: its class.
        captions: Under each attacked image: what it is taken for.
    """
    columns = max(len(clean), 4)
    figure = Figure((0.5 + 1.05 * columns, 4.7), layout="constrained")
    axes = figure.subplots(3, columns)
    for ax in axes.flat:
        ax.set_axis_off()
    figure.suptitle(
        "Smallest perturbations, shown so many times (×) as large", x=0.01,
        ha="left", fontsize=STYLE["axes.titlesize"], weight="bold",
    )  # fmt: skip
    for ax, row in zip(axes[:, 0], ("clean", "added", "attacked"), strict=True):
        ax.annotate(row, (-0.1, 0.5), xycoords="axes fraction", rotation=90,
                    ha="right", va="center", color=GREY)  # fmt: skip
    for number, column in enumerate(axes.T[: len(clean)]):
        before, after = clean[number] / 255, attacked[number]
        scale = 0.5 / max(float(np.abs(after - before).max()), 1e-6)
        tiles = (before, 0.5 + scale * (after - before), after)
        titles = (short(labels[number]), f"×{float(f'{scale:.2g}'):g}", "")
        for ax, tile, title in zip(column, tiles, titles, strict=True):
            shown = np.clip(tile, 0, 1)
            shown = shown[..., 0] if shown.shape[-1] == 1 else shown
            ax.imshow(shown, "gray", vmin=0, vmax=1)
            ax.set_title(title, loc="center", fontsize=8, weight="normal")
        column[2].annotate(
            captions[number], (0.5, -0.05), xycoords="axes fraction",
            ha="center", va="top", fontsize=8,
        )  # fmt: skip
    return figure


def _draw_curve(ax: Axes, curve: Curve, marker: str) -> None:
    radii = [row.eps for row in curve.rows]
    lows = [row.accuracy_low for row in curve.rows]
    highs = [row.accuracy_high for row in curve.rows]
    ax.fill_between(radii, lows, highs, color=curve.color, alpha=0.09, lw=0)
    # A thinner line on the bold one leaves both visible where they agree.
    width, size, order = (4.0, 7.0, 2) if curve.bold else (1.6, 4.0, 3)
    ax.plot(
        radii, [row.accuracy for row in curve.rows], color=curve.color,
        marker=marker, gid=curve.label, lw=width, ms=size, zorder=order,
        clip_on=False,
    )  # fmt: skip


def _add_legend(figure: Figure, curves: list[Curve]) -> None:
    """Names each line once, in the order in which the lines end."""
    handles = {h.get_gid(): h for ax in figure.axes for h in ax.get_lines()}
    by_end = sorted(curves, key=lambda c: c.rows[-1].accuracy, reverse=True)
    labels = apart(curve.label for curve in by_end)
    figure.legend(
        [handles[label] for label in labels],
        # A label that begins with an underscore would be left out.
        [" " + shown for shown in labels.values()],
        loc="outside right center",
    )


def _mark_radii(ax: Axes, radii: Sequence[float]) -> None:
    """Writes radii as people do, but none over another."""
    labels, last = [], -1.0
    for eps in radii:
        near = last >= 0 and eps - last < 0.09 * radii[-1]
        labels.append("" if near else format_eps(eps))
        last = last if near else eps
    ax.set_xticks(radii, labels)
    ax.set_xlim(0, 1.02 * radii[-1] or 1)
