"""Figures: what they show, and files that are small and can be read."""

import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from tfgan_robust.reports import plot_style, plots
from tfgan_robust.reports.numbers import wilson
from tfgan_robust.reports.results import Pointwise

CLASSES = ("cat", "dog", "frog")


def row(eps, num_correct, num_images=100):
    low, high = wilson(num_correct, num_images)
    return Pointwise(
        eps=eps,
        attacks=("fgsm",),
        num_images=num_images,
        num_correct=num_correct,
        accuracy=num_correct / num_images,
        accuracy_low=low,
        accuracy_high=high,
    )


def curve(label, *counts, radii=(0, 4 / 255, 8 / 255), **changes):
    rows = [row(e, n) for e, n in zip(radii, counts, strict=True)]
    return plots.Curve(label, "#0072b2", rows, **changes)


def saved(figure, folder, note="n = 100"):
    """Pixels of the PNG of a figure, float32 [height, width, 4]."""
    path = folder / "figure.png"
    plot_style.save(figure, path, note=note)
    assert path.stat().st_size <= plot_style.MAX_BYTES
    pixels = imread(path)
    assert pixels.ndim == 3
    # Something is drawn, on white.
    assert pixels[..., :3].min() < 0.5
    assert (pixels[0, 0, :3] == 1).all()
    return pixels


def random_images(count, side, channels, seed=0):
    """Clean uint8 images, and attacked ones, hard to compress."""
    draw = np.random.default_rng(seed)
    clean = draw.integers(0, 256, (count, side, side, channels), np.uint8)
    noise = draw.choice([-8 / 255, 8 / 255], clean.shape)
    return clean, np.clip(clean / 255 + noise, 0, 1).astype(np.float32)


def test_curves_show_accuracies_intervals_and_radii(tmp_path):
    figure = plots.draw_curves(
        {"Under attack": [curve("pgd", 90, 50, 20), curve("fgsm", 90, 60, 30)]},
        norm="linf",
    )
    (ax,) = figure.axes
    lines = {line.get_gid(): line for line in ax.get_lines()}
    assert list(lines["pgd"].get_ydata()) == [0.9, 0.5, 0.2]
    assert list(lines["fgsm"].get_xdata()) == [0, 4 / 255, 8 / 255]
    assert ax.get_ylim() == (0, 1)
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert ticks == ["0", "4/255", "8/255"]
    assert "L∞" in ax.get_xlabel()
    band = ax.collections[0].get_paths()[0].vertices
    low, high = wilson(20, 100)
    at_end = band[np.isclose(band[:, 0], 8 / 255), 1]
    assert (at_end.min(), at_end.max()) == pytest.approx((low, high))
    saved(figure, tmp_path)
    percents = [tick.get_text() for tick in ax.get_yticklabels()]
    assert percents[1:-1] == ["0%", "20%", "40%", "60%", "80%", "100%"]


def test_the_legend_reads_downwards_as_the_lines_end():
    figure = plots.draw_curves(
        {
            "first": [curve("a", 90, 5, 1), curve("_b", 80, 70, 60)],
            "second": [curve("a", 90, 4, 1), curve("c", 60, 50, 40)],
        },
        norm="l2",
    )
    (legend,) = figure.legends
    assert [text.get_text().strip() for text in legend.get_texts()] == [
        "_b", "c", "a",
    ]  # fmt: skip
    assert "Euclidean" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize(
    "labels",
    [
        [f"cifar10-grad_x-of-a-long-experiment-{n}" for n in range(3)],
        [f"{n}/cifar10-grad_x-of-a-long-experiment" for n in "abc"],
        [f"{30 * '-'}{n}{30 * '-'}" for n in "abc"],
        ["short", f"long{60 * '-'}", "_"],
    ],
    ids=["at the end", "at the beginning", "within", "anywhere"],
)
def test_names_that_differ_do_so_in_the_legend(labels):
    figure = plots.draw_curves(
        {"": [curve(name, 90, 50, 20) for name in labels]}, norm="linf"
    )
    shown = [t.get_text().strip() for t in figure.legends[0].get_texts()]
    assert len({*shown}) == len(labels)
    # No longer than it takes.
    assert max(map(len, shown)) <= 48
    for text, label in zip(shown, labels, strict=True):
        begin, _, end = text.partition("…")
        assert label.startswith(begin)
        assert label.endswith(end)


def test_lines_differ_without_their_colours_and_keep_their_marks():
    figure = plots.draw_curves(
        {
            "first": [curve("a", 90, 5, 1), curve("b", 80, 70, 60)],
            "second": [curve("b", 90, 4, 1), curve("c", 60, 50, 40)],
        },
        norm="linf",
    )
    first, second = (
        {line.get_gid(): line.get_marker() for line in ax.get_lines()}
        for ax in figure.axes
    )
    assert first["b"] == second["b"]
    assert len({first["a"], first["b"], second["c"]}) == 3


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_each_panel_is_seen_and_no_other(tmp_path, count):
    panels = {f"attack {n}": [curve("net", 90, 50, 20)] for n in range(count)}
    figure = plots.draw_curves(panels, norm="linf")
    seen = [ax.get_title("left") for ax in figure.axes if ax.get_visible()]
    assert seen == list(panels)
    saved(figure, tmp_path)


def test_radii_are_not_written_over_each_other():
    radii = (0, 1 / 255, 2 / 255, 8 / 255, 16 / 255)
    figure = plots.draw_curves(
        {"": [curve("net", 90, 80, 70, 20, 5, radii=radii)]}, norm="linf"
    )
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks == ["0", "", "2/255", "8/255", "16/255"]


def test_classes_show_both_accuracies_and_leave_out_absent_classes(tmp_path):
    share = (0.5, *wilson(5, 10))
    worse = (0.2, *wilson(2, 10))
    figure = plots.draw_classes(
        CLASSES, {"clean": [share, None, share], "worst": [worse, None, worse]}
    )
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [*CLASSES]
    dots = [c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1]
    values = {float(x) for offsets in dots for x in offsets[:, 0]}
    assert values == {0.5, 0.2}
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["clean", "worst"]
    assert "class" in ax.get_title("left")
    saved(figure, tmp_path)


def test_confusion_is_in_percent_of_each_class(tmp_path):
    counts = np.array([[6, 2, 0, 0], [0, 0, 0, 0], [1, 0, 1, 2]])
    figure = plots.draw_confusion(counts, [*CLASSES, "unknown"], title="pgd")
    (ax,) = figure.axes
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {
        (0, 0): "75", (1, 0): "25", (0, 2): "25", (2, 2): "25", (3, 2): "50",
    }  # fmt: skip
    assert [t.get_text() for t in ax.get_yticklabels()] == [*CLASSES]
    assert [t.get_text() for t in ax.get_xticklabels()][-1] == "unknown"
    saved(figure, tmp_path)


@pytest.mark.parametrize("count", [plots.MAX_PAIRED + 2, 300])
def test_many_classes_are_drawn_without_figures_in_cells(tmp_path, count):
    names = [f"a class with a long name {n}" for n in range(count)]
    figure = plots.draw_confusion(np.eye(count, dtype=int), names, title="")
    assert not figure.axes[0].texts
    saved(figure, tmp_path)
    shares = [(0.5, 0.4, 0.6)] * count
    figure = plots.draw_classes(names, {"clean": shares, "worst": shares})
    assert figure.get_figheight() < 16
    saved(figure, tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_perturbations_are_magnified_to_the_whole_range(tmp_path, channels):
    clean = np.full((2, 8, 8, channels), 128, np.uint8)
    attacked = (clean / 255).astype(np.float32)
    attacked[:, :4] += 0.02
    attacked[1, 4:] -= 0.01
    figure = plots.draw_smallest(
        clean, attacked, ["cat", "dog"], ["dog\n0.02", "cat\n0.02"]
    )
    grid = np.reshape(figure.axes, (3, -1))
    images = {
        (r, c): grid[r, c].images[0].get_array()
        for r in range(3)
        for c in range(2)
    }
    shape = (8, 8) if channels == 1 else (8, 8, 3)
    assert all(image.shape == shape for image in images.values())
    np.testing.assert_allclose(images[0, 0], 128 / 255)
    np.testing.assert_allclose(images[1, 0][:4], 1, atol=1e-4)
    np.testing.assert_allclose(images[1, 0][4:], 0.5, atol=1e-4)
    np.testing.assert_allclose(images[1, 1][4:], 0.25, atol=1e-4)
    np.testing.assert_allclose(images[2, 1][0], 128 / 255 + 0.02, atol=1e-6)
    assert [ax.get_title() for ax in grid[0, :2]] == ["cat", "dog"]
    assert [ax.get_title() for ax in grid[1, :2]] == ["×25", "×25"]
    assert "(×)" in figure.get_suptitle()
    assert "dog\n0.02" in [text.get_text() for text in grid[2, 0].texts]
    # Places without an image stay empty.
    assert not any(ax.images for ax in grid[:, 2:].flat)
    saved(figure, tmp_path)


@pytest.mark.parametrize(
    ("count", "side", "channels"), [(1, 8, 1), (10, 32, 3), (10, 160, 3)]
)
def test_files_of_noise_are_small_too(tmp_path, count, side, channels):
    clean, attacked = random_images(count, side, channels)
    names = ["a class with a long name"] * count
    figure = plots.draw_smallest(clean, attacked, names, names)
    pixels = saved(figure, tmp_path)
    assert pixels.shape[1] >= 250


def test_an_image_that_was_not_perturbed_is_drawn(tmp_path):
    clean, _ = random_images(1, 8, 3)
    figure = plots.draw_smallest(clean, clean / 255, ["cat"], ["dog"])
    saved(figure, tmp_path)


def test_names_are_taken_as_they_are(tmp_path):
    names = ["$\\frac{$", "猫", "_dog", "a_b^c"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.draw_confusion(np.eye(4, dtype=int), names, title="$")
        saved(figure, tmp_path, note="$\\x$")
        figure = plots.draw_curves(
            {"$\\t$": [curve(name, 9, 5, 2) for name in names]}, norm="linf"
        )
        saved(figure, tmp_path)
    assert len(figure.legends[0].get_texts()) == len(names)


def test_a_note_is_part_of_the_figure(tmp_path):
    plain, noted = (
        saved(
            plots.draw_curves({"": [curve("net", 90, 50, 20)]}, norm="linf"),
            tmp_path,
            note=note,
        )
        for note in ("", "audit: not run, " * 20)
    )
    rows = slice(int(0.93 * len(noted)), None)
    assert (plain[rows, :, :3] > 0.9).mean() > (noted[rows, :, :3] > 0.9).mean()


def test_the_same_figure_is_the_same_file(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        figure = plots.draw_curves({"": [curve("net", 9, 5, 2)]}, norm="linf")
        plot_style.save(figure, path, note="n = 100")
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_who_reads_a_figure_while_it_is_written_sees_the_old_one(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        saved(
            plots.draw_curves({"": [curve("n", 9, 5, 2)]}, norm="l2"), tmp_path
        )
        assert reader.read() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_settings_of_others_stay_as_they_are(tmp_path):
    before = dict(matplotlib.rcParams)
    saved(plots.draw_curves({"": [curve("n", 9, 5, 2)]}, norm="l2"), tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_figures_need_neither_a_screen_nor_tensorflow():
    code = (
        "import sys, tfgan_robust.reports.plots; "
        "assert not {'matplotlib.pyplot', 'tensorflow', 'keras'} "
        "& set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
