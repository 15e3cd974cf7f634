"""Where do perturbations lead? Section 4.4, Figure 5.

The perturbations of FGSM, PGD and a generator as pictures, and the logits
along these directions and along Gaussian noise of standard deviation 1, both
ways; and, which the paper does not have, how far one can go along each of them
before another class overtakes, for many test images. The paper does not say
of which radius its perturbations are; here they are of a middle one, since what
PGD finds far behind the border says little of where that is.
"""

import dataclasses
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import epochs
from experiments.harness.apart import apart
from experiments.harness.command import main
from experiments.harness.experiment import Experiment, save_figure
from experiments.harness.options import Preset
from experiments.harness.study import Study, Trial
from experiments.walk import DIRECTIONS, Walk, crossings, walk
from tfgan_robust.files import replacing, write_json
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.plot_style import GREY, PALETTE, STYLE
from tfgan_robust.reports.reading import read_arrays

NAME = "directions"
COLORS = dict(zip(DIRECTIONS, (GREY, *PALETTE), strict=False))


def trials(preset: Preset, study: Study) -> list[Trial]:
    """Returns the long run, whose networks are needed until all is seen."""
    if _file(study).is_file():
        return []
    trial = epochs.long_run(preset, (), preset.section(NAME)["seed"])
    return [dataclasses.replace(trial, keeps_networks=True)]


def _file(study: Study) -> Path:
    return study.results / f"{NAME}.npz"


def also(preset: Preset, study: Study) -> None:
    """Writes directions.npz, what follows from it, and the figures."""
    section = preset.section(NAME)
    trial = epochs.long_run(preset, (), section["seed"])
    file = _file(study)
    if not file.is_file():
        if not study.is_trained(trial):
            return
        found = apart(walk, trial, section, study)
        with replacing(file) as partial:
            np.savez_compressed(partial, **found._asdict())
    seen = Walk(**read_arrays(file))
    write_json(
        study.results / f"{NAME}.json",
        {
            "experiment": NAME,
            "title": EXPERIMENT.title,
            "source": EXPERIMENT.source,
            "preset": preset.name,
            "command": f"python -m experiments.{NAME} --preset={preset.name}",
            "trial": trial.name,
            "checkpoint": section["checkpoint"],
            "settings": dict(trial.settings),
            "resolved": dataclasses.asdict(study.config(trial)),
            "images": seen.overtaken.shape[1],
            "eps": float(seen.eps),
            "length": float(seen.lengths[-1]),
            "directions": summary(seen),
        },
    )
    note = (
        f"{trial.name}, {section['checkpoint']}; perturbations of radius "
        f"{format_eps(float(seen.eps))}, clipped to [0, 1]; "
    )
    with matplotlib.rc_context(STYLE):
        for number, label in enumerate(seen.labels):
            name = seen.class_names[label]
            save_figure(
                draw_image(seen, number),
                study.results / f"{NAME}_{name}",
                note=note + f"the first test image of {name} that is correct.",
            )
        save_figure(
            draw_points(seen),
            study.results / f"{NAME}_points",
            note=note + f"{seen.overtaken.shape[1]} correct test images.",
        )


def summary(seen: Walk) -> dict[str, dict[str, float | None]]:
    """Returns for each direction how far one can go, in 255ths."""
    found = {}
    for name, points in zip(DIRECTIONS, seen.overtaken, strict=True):
        reached = np.nan_to_num(points, nan=np.inf)
        middle = float(np.median(reached))
        found[name] = {
            "median overtaking point, 1/255": (
                round(255 * middle, 2) if np.isfinite(middle) else None
            ),
            "overtaken within the length": float(np.isfinite(reached).mean()),
            "closer than FGSM's": float(
                np.mean(reached < np.nan_to_num(seen.overtaken[1], nan=np.inf))
            ),
        }
    return found


def draw_image(seen: Walk, number: int) -> Figure:
    """Draws one image, its perturbations, and logits along each direction."""
    figure = Figure(figsize=(8, 8.6), layout="constrained")
    grid = figure.subplots(
        len(DIRECTIONS), 2, gridspec_kw={"width_ratios": [1, 3]}
    )
    label = int(seen.labels[number])
    pictures = [seen.images[number]] + [
        0.5 + each[number] / (2 * seen.eps) for each in seen.perturbations
    ]
    for n, name in enumerate(DIRECTIONS):
        picture, panel = grid[n]
        picture.set_axis_off()
        picture.set_title(
            seen.class_names[label] if n == 0 else name, fontsize=9
        )
        cmap = "gray" if seen.images.shape[-1] == 1 else None
        picture.imshow(
            np.clip(pictures[n], 0, 1).squeeze(), cmap=cmap, vmin=0, vmax=1
        )
        _logits(panel, seen, n, number)
        panel.set_title(f"along {name}", fontsize=9)
        panel.set_ylabel("logit")
    grid[-1][1].set_xlabel("signed length of the perturbation, 1/255")
    grid[0][1].legend(fontsize=6.5, ncols=2, loc="center left",
                      bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    return figure


def _logits(panel: Axes, seen: Walk, direction: int, number: int) -> None:
    at = 255 * seen.lengths
    label = int(seen.labels[number])
    logits = seen.logits[direction, number]
    colors = matplotlib.colormaps["cividis"](
        np.linspace(0, 0.95, logits.shape[1])
    )
    for k in range(logits.shape[1]):
        true = k == label
        panel.plot(
            at, logits[:, k],
            color="black" if true else colors[k],
            linewidth=2.0 if true else 0.9,
            linestyle="-" if true else ("-", "--", ":", "-.")[k % 4],
            label=str(seen.class_names[k]),
        )  # fmt: skip
    panel.axvline(0, color=GREY, linewidth=0.8)
    point = crossings(seen.lengths, logits[None], np.array([label]))[0]
    if np.isfinite(point):
        panel.axvline(255 * point, color=PALETTE[1], linewidth=1.2)
        panel.annotate(
            f"overtaken at {255 * point:.1f}",
            (255 * point, panel.get_ylim()[1]),
            xytext=(3, -9), textcoords="offset points",
            fontsize=7, color=PALETTE[1],
        )  # fmt: skip


def draw_points(seen: Walk) -> Figure:
    """Draws which share of images is overtaken within each length."""
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    panel = figure.subplots()
    count = seen.overtaken.shape[1]
    for name, points in zip(DIRECTIONS, seen.overtaken, strict=True):
        reached = np.sort(255 * points[np.isfinite(points)])
        share = 100 * np.arange(1, len(reached) + 1) / count
        panel.step(
            [0, *reached], [0, *share], where="post", color=COLORS[name],
            label=name,
        )  # fmt: skip
    panel.axvline(
        255 * float(seen.eps), color="black", linewidth=0.8, linestyle=":"
    )
    panel.set_xlim(0, 255 * seen.lengths[-1])
    panel.set_ylim(0, 100)
    panel.set_xlabel("length at which another class overtakes, 1/255")
    panel.set_ylabel("images overtaken, %")
    panel.grid(axis="y")
    panel.legend(fontsize=8)
    return figure


EXPERIMENT = Experiment(
    NAME, "Directions of perturbations", "4.4, Figure 5", trials, None, also
)

if __name__ == "__main__":
    main(EXPERIMENT)
