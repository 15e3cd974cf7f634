"""What every experiment is: trials, rows of what they gave, a figure.

    python -m experiments.NAME --preset=smoke|cpu|paper --data_dir=DIR

trains and measures what is missing, and writes NAME.json, NAME.csv, NAME.png
and NAME.svg to the results of the preset, after each evaluation.
"""

import argparse
import csv
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from experiments import options, runner
from experiments.options import Preset, Section
from experiments.study import Measurement, Study, Trial
from tfgan_robust.errors import TfganRobustError
from tfgan_robust.files import read_json_object, write_json
from tfgan_robust.reports import plot_style
from tfgan_robust.reports.numbers import same_eps
from tfgan_robust.reports.plot_style import STYLE

ROOT = Path(__file__).parent
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
        also: Writes what it has beside rows and a figure.
        more: Columns of a trial's rows beside what was measured.
    """

    name: str
    title: str
    source: str
    trials: Callable[[Preset, Study], Sequence[Trial]]
    draw: Callable[[Sequence[Row], Section], Figure] | None
    also: Callable[[Preset, Study], None] | None = None
    more: Callable[[Trial, Study], Row] | None = None

    def publish(self, preset: Preset, study: Study) -> list[Row]:
        """Writes its files from what is kept.

        Returns:
            Its rows; nothing is written while there are none.
        """
        trials = self.trials(preset, study)
        rows = list(rows_of(trials, study, self.more))
        if not rows or self.draw is None:
            return rows
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
        return rows


def main(experiment: Experiment) -> None:
    """Runs an experiment as a command."""
    sys.exit(conduct([experiment], experiment.title))


def conduct(experiments: Sequence[Experiment], description: str) -> int:
    """Does what several experiments lack, and writes their files.

    Returns:
        An exit code: 1 if something failed, which is named.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--preset", choices=options.names(), required=True)
    parser.add_argument("--data_dir", help="of CIFAR-10")
    parser.add_argument(
        "--runs",
        type=Path,
        help="where networks and logs go; default: runs/PRESET",
    )
    parser.add_argument(
        "--results",
        type=Path,
        help="where results go; default: experiments/results/PRESET",
    )
    arguments = parser.parse_args()
    name = arguments.preset
    study = Study(
        (arguments.runs or Path("runs") / name).absolute(),
        (arguments.results or ROOT / "results" / name).absolute(),
        arguments.data_dir and str(Path(arguments.data_dir).absolute()),
    )
    try:
        failed = perform(experiments, Preset.load(name), study)
    except TfganRobustError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stop:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return int(getattr(stop, "exit_code", 130))
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


def perform(
    experiments: Sequence[Experiment], preset: Preset, study: Study
) -> list[str]:
    """Does what several experiments lack, and writes their files.

    Returns:
        What failed, one line each.
    """
    failed: list[str] = []
    while not failed:
        # Costs of steps, on which trials may depend, are measured here first.
        users: dict[str, list[Experiment]] = {}
        everything: list[Trial] = []
        for each in experiments:
            for trial in each.trials(preset, study):
                everything.append(trial)
                users.setdefault(trial.name, []).append(each)
        # What was found may ask for more.
        if not runner.missing(study, everything):
            break

        def after(trial: Trial, users: Any = users) -> None:
            for each in dict.fromkeys(users[trial.name]):
                each.publish(preset, study)

        failed = runner.run_interruptibly(study, everything, after)
    for each in experiments:
        each.publish(preset, study)
        if each.also is not None:
            each.also(preset, study)
    return failed


def rows_of(
    trials: Iterable[Trial],
    study: Study,
    more: Callable[[Trial, Study], Row] | None = None,
) -> Iterator[Row]:
    """Yields a row for each measurement that is kept."""
    for trial in trials:
        for measurement in trial.measurements:
            if study.is_measured(trial, measurement):
                row = row_of(trial, measurement, study)
                yield row if more is None else {**row, **more(trial, study)}


def row_of(trial: Trial, measurement: Measurement, study: Study) -> Row:
    """Returns what a measurement says, with all that it depends on."""
    stored = study.evaluation(trial, measurement)
    evaluation, conditions = stored.evaluation, stored.conditions
    config = trial.config
    return {
        "trial": trial.name,
        **trial.about,
        "seed": config.seed,
        "epochs": config.epochs,
        "training seconds": round(study.training_seconds(trial), 1),
        "trained on": study.device(trial),
        "measurement": measurement.name,
        "checkpoint": measurement.flags.get("checkpoint", "best"),
        "split": conditions.dataset.split,
        "images": evaluation.num_images,
        "data": conditions.dataset.source,
        "device": conditions.device,
        "date": conditions.date,
        "accuracy": [
            {
                "attack": result.attack,
                "eps": result.eps,
                "correct": result.num_correct,
                "accuracy": result.accuracy,
                "low": result.accuracy_low,
                "high": result.accuracy_high,
            }
            for result in evaluation.results
        ],
        "settings": dict(trial.settings),
    }


def flat(rows: Iterable[Row]) -> list[Row]:
    """Returns a line for each accuracy, for a table in a file."""
    dropped = ("accuracy", "settings", "history")
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


def radii_in(rows: Iterable[Row]) -> list[float]:
    """Returns the radii that were measured, in order, without zero."""
    found = {each["eps"] for row in rows for each in row["accuracy"]}
    return sorted(found - {0.0})


def what_it_is(rows: Sequence[Row]) -> str:
    """Returns a line on images, networks and devices, to go with a figure."""
    counts = sorted({row["images"] for row in rows})
    first = rows[0]
    splits = ", ".join(sorted({row["split"] for row in rows}))
    seeds = len({row["seed"] for row in rows})
    width = first["settings"].get("classifier_width", 1.0)
    return (
        f"{first['data']}, {' or '.join(map(str, counts))} {splits} images; "
        f"width {width:g}; {seeds} seed{'s' if seeds > 1 else ''}; "
        f"{max(row['date'] for row in rows)}, {first['device']}"
    )


def stored(study: Study, name: str) -> Mapping[str, Any] | None:
    """Returns what an experiment published, None if it did not."""
    file = study.results / f"{name}.json"
    return read_json_object(file) if file.is_file() else None
