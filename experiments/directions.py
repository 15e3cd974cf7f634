"""Where do perturbations lead? Section 4.4, Figure 5.

The perturbations of FGSM, PGD and a generator as pictures, and the logits
along these directions and along Gaussian noise of standard deviation 1, both
ways; and, which the paper does not have, how far one can go along each of them
before another class overtakes, for many test images.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import epochs
from experiments.apart import apart
from experiments.command import main
from experiments.experiment import Experiment, save_figure
from experiments.options import Preset, Section
from experiments.study import Study, Trial
from tfgan_robust.files import replacing, write_json
from tfgan_robust.reports.numbers import format_eps
from tfgan_robust.reports.plot_style import GREY, PALETTE, STYLE
from tfgan_robust.reports.reading import read_arrays

NAME = "directions"
GAUSSIAN = "Gaussian noise"
# By name in the figure: the attack whose perturbation it is.
ATTACKS = {"FGSM": "fgsm", "PGD": "pgd-100", "generator": "generators"}
DIRECTIONS = (GAUSSIAN, *ATTACKS)
COLORS = dict(zip(DIRECTIONS, (GREY, *PALETTE), strict=False))
# Multiples of a direction, both ways.
POINTS = 65
_BATCH = 500


class Walk(NamedTuple):
    """What was seen on the way along directions.

    Attributes:
        lengths: float32 [points], signed multiples of a direction, on the
            [0, 1] pixel scale.
        overtaken: float32 [directions, images], the smallest positive length
            at which another class has the largest logit; NaN for never.
        images: float32 [shown, height, width, channels] in [0, 1].
        labels: int64 [shown].
        perturbations: float32 [attacks, shown, height, width, channels].
        logits: float32 [directions, shown, points, classes].
        eps: The radius of the perturbations.
        class_names: Of the logits.
    """

    lengths: np.ndarray
    overtaken: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    perturbations: np.ndarray
    logits: np.ndarray
    eps: Any
    class_names: np.ndarray


def crossings(lengths: np.ndarray, logits: np.ndarray, labels: Any) -> Any:
    """Returns where another class overtakes the true one.

    Args:
        lengths: float32 [points], rising.
        logits: float32 [images, points, classes].
        labels: int64 [images].

    Returns:
        float32 [images], between points by linear interpolation of the
        margin; NaN where no class overtakes at a positive length.
    """
    rows = np.arange(len(labels))
    true = logits[rows, :, labels]
    others = logits.copy()
    others[rows, :, labels] = -np.inf
    margin = true - others.max(axis=-1)
    found = np.full(len(labels), np.nan, np.float32)
    start = int(np.searchsorted(lengths, 0))
    for row in rows:
        for n in range(start + 1, len(lengths)):
            if margin[row, n] < 0 <= margin[row, n - 1]:
                before, after = margin[row, n - 1], margin[row, n]
                share = before / (before - after)
                step = lengths[n] - lengths[n - 1]
                found[row] = lengths[n - 1] + share * step
                break
    return found


def walk(trial: Trial, section: Section, study: Study) -> Walk:
    """Computes the directions of test images, and the logits along them."""
    import tensorflow as tf

    import tfgan_robust as tr
    from tfgan_robust.attacks.engine.runner import AttackRunner
    from tfgan_robust.attacks.generators import GeneratorAttack
    from tfgan_robust.evaluation.networks import load_networks
    from tfgan_robust.evaluation.options import EvaluateSettings
    from tfgan_robust.networks.logits import as_floats

    settings = EvaluateSettings(
        run_dir=str(study.run(trial).path),
        checkpoint=section["checkpoint"],
        attacks=ATTACKS["generator"],
    )
    networks, config = load_networks(settings), trial.config
    classifier = networks.classifier
    info, test = tr.load_test(
        config.dataset, data_dir=study.data_dir, image_size=config.image_size,
        class_names=classifier.class_names,
    )  # fmt: skip
    runner = AttackRunner(
        classifier.logits_fn,
        classifier.num_classes,
        generators=[GeneratorAttack(*networks.generators[0])],
    )
    clean = runner.clean(test.images, test.labels)
    where = np.flatnonzero(clean.correct)[: section["images"]]
    images, labels = as_floats(test.images[where]), test.labels[where]
    eps = config.eps
    found = [
        np.random.default_rng(config.seed).standard_normal(
            images.shape, np.float32
        )
    ]
    clean = runner.clean(images, labels)
    for name in ATTACKS.values():
        plan = tr.parse_attack(name, protocol="final")
        outcome = runner.begin(plan, labels, clean)
        attacked = images.copy()
        for done in runner.run(
            plan, images, labels, clean, outcome, eps=eps, seed=config.seed
        ):
            attacked[done.number] = done.image
        found.append((attacked - images) / eps)
    look = tf.function(classifier.logits_fn)
    lengths = np.linspace(-1, 1, POINTS, dtype=np.float32) * section["length"]
    shown = _chosen(labels, info.class_names, section["shown"])
    logits = []
    overtaken = []
    for direction in found:
        along = np.stack(
            [
                _answers(look, np.clip(images + t * direction, 0, 1))
                for t in lengths
            ],
            axis=1,
        )
        overtaken.append(crossings(lengths, along, labels))
        logits.append(along[shown])
    return Walk(
        lengths,
        np.stack(overtaken),
        images[shown],
        labels[shown],
        np.stack([eps * direction[shown] for direction in found[1:]]),
        np.stack(logits),
        np.float32(eps),
        np.array(info.class_names),
    )


def _answers(look: Any, images: np.ndarray) -> np.ndarray:
    parts = [
        look(images[n : n + _BATCH]).numpy()
        for n in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def _chosen(
    labels: np.ndarray, names: Sequence[str], wanted: Sequence[str]
) -> list[int]:
    """The first image of each of these classes that has one, or of all."""
    firsts = [np.flatnonzero(labels == names.index(name)) for name in wanted]
    found = [int(places[0]) for places in firsts if len(places)]
    return found or list(range(len(labels)))[:1]


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
            "images": seen.overtaken.shape[1],
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
