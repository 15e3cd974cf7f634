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
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import epochs
from experiments.harness.apart import apart
from experiments.harness.command import main
from experiments.harness.experiment import (
    Experiment,
    kept_epoch,
    save_figure,
    trained,
)
from experiments.harness.options import Preset
from experiments.harness.study import Study, Trial, as_stored, noted_network
from experiments.walk import DIRECTIONS, WHERE, Walk, crossings, walk
from tfgan_robust.errors import UsageError
from tfgan_robust.files import read_json_object, replacing, write_json
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.plot_style import GREY, PALETTE, STYLE
from tfgan_robust.reports.reading import read_arrays

NAME = "directions"
# In 255ths, those of the paper's attacks.
RADII = (4, 8, 16)
COLORS = dict(zip(DIRECTIONS, (GREY, *PALETTE), strict=False))


def trials(preset: Preset, study: Study) -> list[Trial]:
    """Returns the long run, whose networks are needed until all is seen."""
    trial = epochs.long_run(preset, (), preset.section(NAME)["seed"])
    if _stored(preset, trial, study):
        return []
    return [dataclasses.replace(trial, keeps_networks=True)]


def _stored(preset: Preset, trial: Trial, study: Study) -> dict[str, Any]:
    """Returns what is kept, empty if that is not all.

    Raises:
        UsageError: if it was asked for otherwise.
    """
    arrays, file = _files(study)
    if not (arrays.is_file() and file.is_file()):
        return {}
    stored = read_json_object(file)
    network = noted_network(study.kept(trial).path)
    if network is not None and stored.get("network") != network:
        return {}
    if stored["asked"] != _asked(preset, trial):
        raise UsageError(
            f"{file} is not what the preset {preset.name} asks for now. Give "
            "another folder for `--results`, or delete it."
        )
    return stored


def _asked(preset: Preset, trial: Trial) -> dict[str, Any]:
    """Returns all on which the arrays depend, as JSON has it."""
    own = preset.section(NAME).own
    return as_stored({**own, "training": trial.settings})


def _files(study: Study) -> tuple[Path, Path]:
    return study.results / f"{NAME}.npz", study.results / f"{NAME}.json"


def also(preset: Preset, study: Study) -> None:
    """Writes directions.npz, what follows from it, and the figures."""
    section = preset.section(NAME)
    trial = epochs.long_run(preset, (), section["seed"])
    arrays, file = _files(study)
    stored = _stored(preset, trial, study)
    if not stored:
        if not study.is_trained(trial):
            return
        found, stored = apart(walk, trial, section, study)
        with replacing(arrays) as partial:
            np.savez_compressed(partial, **found._asdict())
    seen = Walk(**read_arrays(arrays))
    epoch = kept_epoch(section["checkpoint"]) or trial.config.epochs
    write_json(
        file,
        {
            "experiment": NAME,
            "title": EXPERIMENT.title,
            "source": EXPERIMENT.source,
            "preset": preset.name,
            "command": f"python -m experiments.{NAME} --preset={preset.name}",
            "asked": _asked(preset, trial),
            "network": noted_network(study.kept(trial).path),
            **{name: stored[name] for name in WHERE},
            **trained(trial, epoch, study),
            "checkpoint": section["checkpoint"],
            "images": seen.overtaken.shape[1],
            "accuracy": [],
            "eps": float(seen.eps),
            "length": float(seen.lengths[-1]),
            "directions": summary(seen),
        },
    )
    note = (
        f"{stored['data']}; {trial.name}, {section['checkpoint']}; "
        f"perturbations of radius {format_eps(float(seen.eps))}, clipped to "
        f"[0, 1], of the first of its generators; {stored['date']}, "
        f"{stored['device']}; "
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
    length = float(seen.lengths[-1])
    found = {}
    for name, points in zip(DIRECTIONS, seen.overtaken, strict=True):
        reached = np.nan_to_num(points, nan=np.inf)
        middle = float(np.median(reached))
        found[name] = {
            "median overtaking point, 1/255": (
                round(255 * middle, 2) if np.isfinite(middle) else None
            ),
            **{
                f"overtaken within {eps}/255, %": _percent(reached <= eps / 255)
                for eps in RADII
            },
            f"overtaken within {format_eps(length)}, %": _percent(
                np.isfinite(reached)
            ),
            "sooner than FGSM's, %": _percent(
                reached < np.nan_to_num(seen.overtaken[1], nan=np.inf)
            ),
        }
    return found


def _percent(which: np.ndarray) -> float:
    return round(100 * float(np.mean(which)), 1)


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
    for n, name in enumerate(DIRECTIONS):
        points = seen.overtaken[n]
        reached = np.sort(255 * points[np.isfinite(points)])
        share = 100 * np.arange(1, len(reached) + 1) / count
        panel.step(
            [0, *reached], [0, *share], where="post", color=COLORS[name],
            linestyle=("-", "--", ":", "-.")[n], label=name,
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
