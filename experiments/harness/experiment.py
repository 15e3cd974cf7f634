"""What every experiment is: trials, rows of what they gave, a figure.

    python -m experiments.NAME --preset=smoke|cpu|paper --data_dir=DIR

trains and measures what is missing, and writes NAME.json, NAME.csv, NAME.png
and NAME.svg to the results of the preset, after each evaluation.
"""

import csv
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from experiments.harness.options import Preset, Section
from experiments.harness.study import Measurement, Study, Trial
from tfgan_robust.files import write_json
from tfgan_robust.identity import all_of
from tfgan_robust.reports import plot_style
from tfgan_robust.reports.numbers import same_eps
from tfgan_robust.reports.plot_style import STYLE
from tfgan_robust.reports.results import Result
from tfgan_robust.reports.tables import audit_line
from tfgan_robust.runs.stored import stored_precision

ROOT = Path(__file__).parent.parent
# Words for a row in a table: one measurement of a trial.
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One question of the paper, or one that it leaves open.

    Attributes:
        name: Of its module, its section of a preset, and its files.
        title: What it shows, in a few words.
        source: The paper's section.
        trials: What it trains and measures, from a preset, the most telling
            first.
        draw: Its figure, from its rows and the preset's section; None if
            it has no rows.
        also: Writes what it has beside rows and a figure, as far as that
            is there.
        more: Columns of a trial's rows beside what was measured.
        later: Trials that its results ask for, which come after those of
            all experiments.
        at_most: Trials that last as long as any that its results can ask
            for.
        published: Trials that have rows where they are kept; `trials` if it
            asks for no others.
    """

    name: str
    title: str
    source: str
    trials: Callable[[Preset, Study], Sequence[Trial]]
    draw: Callable[[Sequence[Row], Section], Figure] | None
    also: Callable[[Preset, Study], None] | None = None
    more: Callable[[Trial, Study], Row] | None = None
    later: Callable[[Preset, Study], Sequence[Trial]] | None = None
    at_most: Callable[[Preset, Study], Sequence[Trial]] | None = None
    published: Callable[[Preset, Study], Sequence[Trial]] | None = None

    def asked_for(self, preset: Preset, study: Study) -> Sequence[Trial]:
        """Returns the trials that its results ask for."""
        return () if self.later is None else self.later(preset, study)

    def publish(self, preset: Preset, study: Study) -> None:
        """Writes its files from what is kept, none while there are no rows."""
        if self.also is not None:
            self.also(preset, study)
        find = self.published or self.trials
        rows = list(rows_of(find(preset, study), study, self.more))
        if not rows or self.draw is None:
            return
        study.results.mkdir(parents=True, exist_ok=True)
        stem = study.results / self.name
        command = f"python -m experiments.{self.name} --preset={preset.name}"
        write_json(
            stem.with_suffix(".json"),
            {
                "experiment": self.name,
                "title": self.title,
                "source": self.source,
                "preset": preset.name,
                "command": command,
                "rows": rows,
            },
        )
        write_csv(stem.with_suffix(".csv"), flat(rows))
        with matplotlib.rc_context(STYLE):
            figure = self.draw(rows, preset.section(self.name))
        save_figure(figure, stem, note=what_it_is(rows))


def rows_of(
    trials: Iterable[Trial],
    study: Study,
    more: Callable[[Trial, Study], Row] | None = None,
) -> Iterator[Row]:
    """Yields a row for each measurement that is kept, and what joins it."""
    for trial in trials:
        joined: dict[str, list[Measurement]] = {}
        for each in trial.measurements:
            if study.is_measured(trial, each):
                joined.setdefault(each.joins or each.name, []).append(each)
        for measurements in joined.values():
            row = row_of(trial, measurements, study)
            yield row if more is None else {**row, **more(trial, study)}


def row_of(
    trial: Trial, measurements: Sequence[Measurement], study: Study
) -> Row:
    """Returns what measurements say, with all that they depend on.

    Args:
        trial: What was trained.
        measurements: Of the same networks on images of the same split.
        study: Where it is kept.
    """
    measurement, *_ = measurements
    stored = study.evaluation(trial, measurement)
    evaluation, conditions = stored.evaluation, stored.conditions
    checkpoint = measurement.flags.get("checkpoint", "best")
    epochs = kept_epoch(checkpoint) or study.config(trial).epochs
    return {
        **trained(trial, epochs, study),
        "measurement": measurement.name,
        "checkpoint": checkpoint,
        "split": conditions.dataset.split,
        "images": evaluation.num_images,
        "data": conditions.dataset.source,
        "device": conditions.device,
        "date": conditions.date,
        "audit": audit_line(evaluation.audit),
        "accuracy": list(_accuracies(trial, measurements, study)),
    }


def trained(trial: Trial, epochs: int, study: Study) -> Row:
    """Returns what there is to say of a training.

    Args:
        trial: What was trained.
        epochs: After how many of its epochs it is looked at.
        study: Where it is kept.
    """
    config = study.config(trial)
    return {
        "trial": trial.name,
        **trial.about,
        "seed": config.seed,
        "epochs": epochs,
        "training seconds": round(study.training_seconds(trial, epochs), 1),
        "trained on": study.device(trial),
        "trained in": stored_precision(study.kept(trial).path).get("name"),
        "settings": dict(trial.settings),
        "resolved": dataclasses.asdict(config),
    }


def kept_epoch(checkpoint: str) -> int | None:
    """Returns after which epoch a network was kept that is named after it."""
    _, is_one, epoch = checkpoint.partition("epoch-")
    return int(epoch) if is_one else None


def _accuracies(
    trial: Trial, measurements: Iterable[Measurement], study: Study
) -> Iterator[Row]:
    """Yields each accuracy once, of most images, and whence it is."""
    found: dict[tuple[str, float], tuple[str, Result]] = {}
    for measurement in measurements:
        evaluation = study.evaluation(trial, measurement).evaluation
        for result in evaluation.results:
            key = (result.attack, result.eps)
            known = found.setdefault(key, (measurement.name, result))
            if result.num_images > known[1].num_images:
                found[key] = (measurement.name, result)
    for name, result in found.values():
        yield {
            "measurement": name,
            "images": result.num_images,
            "attack": result.attack,
            "eps": result.eps,
            "correct": result.num_correct,
            "accuracy": result.accuracy,
            "low": result.accuracy_low,
            "high": result.accuracy_high,
        }


def flat(rows: Iterable[Row]) -> list[Row]:
    """Returns a line for each accuracy, for a table in a file."""
    dropped = ("accuracy", "settings", "resolved", "history")
    return [
        {**{n: v for n, v in row.items() if n not in dropped}, **accuracy}
        for row in rows
        for accuracy in row["accuracy"]
    ]


def write_csv(file: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Writes lines, whose columns may differ."""
    columns = dict.fromkeys(name for line in lines for name in line)
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def save_figure(figure: Figure, stem: Path, *, note: str) -> None:
    """Writes a PNG and an SVG, the same ones whenever it is the same figure.

    Args:
        figure: In the style of reports.
        stem: The files' path without suffix.
        note: What a reader must know with it.
    """
    plot_style.save(figure, stem.with_suffix(".png"), note=note)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": stem.name}):
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})


def accuracy(row: Row, attack: str, eps: float = 0.0) -> float | None:
    """Returns an accuracy of a row, in percent; None if it was not measured.

    Args:
        row: See `row_of`.
        attack: Such as "clean".
        eps: Its radius on the [0, 1] pixel scale.
    """
    found = entry(row, attack, eps)
    return None if found is None else 100 * float(found["accuracy"])


def entry(row: Row, attack: str, eps: float = 0.0) -> Row | None:
    """Returns everything on an accuracy of a row."""
    for found in row["accuracy"]:
        if found["attack"] == attack and same_eps(found["eps"], eps):
            return dict(found)
    return None


def attacks_in(rows: Iterable[Row]) -> list[str]:
    """Returns the attacks that were measured, without clean images."""
    names = (each["attack"] for row in rows for each in row["accuracy"])
    return [name for name in dict.fromkeys(names) if name != "clean"]


def sweeping(rows: Sequence[Row]) -> list[str]:
    """Returns the attacks that were measured at all radii."""
    radii = radii_in(rows)
    entries = [each for row in rows for each in row["accuracy"]]
    found = {(each["attack"], each["eps"]) for each in entries}
    return [
        attack
        for attack in attacks_in(rows)
        if all((attack, eps) in found for eps in radii)
    ]


def radii_in(rows: Iterable[Row]) -> list[float]:
    """Returns the radii that were measured, in order, without zero."""
    found = {each["eps"] for row in rows for each in row["accuracy"]}
    return sorted(found - {0.0})


def what_it_is(rows: Sequence[Row]) -> str:
    """Returns a line on images, networks and devices, to go with a figure."""
    widths = [row["settings"].get("classifier_width", 1.0) for row in rows]
    return "; ".join(
        (
            f"{rows[0]['data']}, {images_in(rows)}",
            checkpoints_in(rows),
            f"width {all_of([f'{width:g}' for width in sorted(widths)])}",
            seeds_in(rows),
            dates_in(rows),
            all_of([row["device"] for row in rows]),
        )
    )


def dates_in(rows: Iterable[Row]) -> str:
    """Returns when rows were measured, such as "2026-11-29 to 2026-11-30"."""
    dates = sorted(row["date"] for row in rows)
    first, last = dates[0], dates[-1]
    return first if first == last else f"{first} to {last}"


def images_in(rows: Iterable[Row]) -> str:
    """Returns how many images accuracies are of, such as "1,000 test images".

    Args:
        rows: See `row_of`. Of one without accuracies its own number counts.
    """
    counts: dict[str, set[int]] = {}
    for row in rows:
        found = counts.setdefault(row["split"], set())
        every = [e.get("images", row["images"]) for e in row["accuracy"]]
        found.update(every or [row["images"]])
    return " and ".join(
        f"{' or '.join(f'{n:,}' for n in sorted(found))} {split} images"
        for split, found in counts.items()
    )


def checkpoints_in(rows: Iterable[Row]) -> str:
    """Returns which of a training's networks were measured."""
    found = dict.fromkeys(row["checkpoint"] for row in rows)
    return f"checkpoint{'s' if len(found) > 1 else ''} {', '.join(found)}"


def _configuration(row: Row) -> str:
    return json.dumps({**row["resolved"], "seed": None})


def seeds_in(
    rows: Iterable[Row], of: Callable[[Row], str] = _configuration
) -> str:
    """Returns words on how many seeds there are, such as "1 to 3 seeds".

    Args:
        rows: See `row_of`.
        of: Returns what the seeds of a training share.
    """
    seeds: dict[str, set[int]] = {}
    for row in rows:
        seeds.setdefault(of(row), set()).add(row["seed"])
    counts = sorted({len(found) for found in seeds.values()})
    words = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
    return f"{words} seed{'s' if counts[-1] > 1 else ''}"


def on_training_images(section: Section) -> Measurement:
    """Returns what is measured on images that were learnt."""
    flags = {**section.measuring, **section["training images"]}
    return Measurement("training", {**flags, "split": "training"})


def on_test_images(section: Section) -> tuple[Measurement, ...]:
    """Returns what is measured of test images.

    Attacks at all radii, AutoAttack in full at one, and clean images, which
    cost next to nothing, in greater number.
    """
    autoattack = {**section.measuring, **section["autoattack"]}
    return (
        Measurement("test", section.measuring),
        Measurement("autoattack", autoattack, joins="test"),
        on_clean_images(section),
    )


def on_clean_images(section: Section) -> Measurement:
    """Returns what is measured of clean test images alone."""
    flags = {**section.measuring, **section["clean"]}
    return Measurement("clean", flags, joins="test")
