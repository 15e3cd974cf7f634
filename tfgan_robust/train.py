"""Command line of training: `python -m tfgan_robust.train`."""

import dataclasses
from pathlib import Path
from typing import Any

from tfgan_robust import evaluate, files
from tfgan_robust.cli import command, fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.lazy import load
from tfgan_robust.runs import directory, presets
from tfgan_robust.runs.common import RUN_GROUP
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory

USAGE = """
Trains a classifier that withstands adversarial attacks.

  python -m tfgan_robust.train --formulation=grad_x
  python -m tfgan_robust.train --dataset=digits --baseline
  python -m tfgan_robust.train --method=pgd --classifier_width=0.25 --epochs=15

Starting again with the same settings goes on where the run stopped.
Watch it with: tensorboard --logdir runs
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainFlags(TrainConfig):
    """The flags of the command: a run's settings and where to keep it."""

    run_dir: str | None = setting(
        None,
        "Folder of the run. Default: runs/<dataset>-<formulation or "
        "method>-<seed>.",
        group=RUN_GROUP,
    )
    config: str | None = setting(
        None,
        "JSON file of settings, or the config.json of another run; flags "
        "win over it.",
        group=RUN_GROUP,
    )
    baseline: bool = setting(
        False,
        "First train the undefended classifier for the same epochs, in "
        "<run_dir>/baseline, and report both side by side.",
        group=RUN_GROUP,
    )
    report_images: int = setting(
        1000,
        "First test images on which the final table is measured; 0 for no "
        "table.",
        group=RUN_GROUP,
        minimum=0,
    )
    report_attacks: str = setting(
        "fgsm,pgd-100",
        "Attacks of the final table.",
        group=RUN_GROUP,
    )


def main() -> None:
    """Runs the command line."""
    command.main(TrainFlags, _run, usage=USAGE)


def _run(given: dict[str, Any]) -> int:
    run_flags = {
        name: given.get(name, field.default)
        for name, field in TrainFlags.__dataclass_fields__.items()
        if name not in fields.field_names(TrainConfig)
    }
    overrides = {k: v for k, v in given.items() if k not in run_flags}
    from_file = _load_settings(run_flags["config"])
    configuration = presets.resolve(from_file, overrides)
    fields.check_values(TrainFlags, run_flags)
    EvaluateSettings(run_dir=".", attacks=run_flags["report_attacks"])
    path = run_flags["run_dir"] or directory.default_run_directory(
        configuration
    )
    run = RunDirectory(Path(path))
    plan = [(run, configuration)]
    if run_flags["baseline"]:
        if configuration.method == "natural":
            raise UsageError(
                "`baseline` adds an undefended classifier to a defended one. "
                "Received: baseline with method=natural."
            )
        plan.insert(
            0, (RunDirectory(run.baseline), presets.baseline_of(configuration))
        )
    for each, settled in plan:
        directory.check_configuration(each, settled)
    load("tensorflow")
    from tfgan_robust.training import session

    code = session.train_all(plan)
    if code == 0 and run_flags["report_images"] > 0:
        _report(plan, run_flags)
    return code


def _report(
    plan: list[tuple[RunDirectory, TrainConfig]], run_flags: dict[str, Any]
) -> None:
    """Measures the best checkpoint of each run on test images."""
    evaluations = {}
    for run, settled in plan:
        evaluations[settled.run_label] = evaluate.evaluate(
            EvaluateSettings(
                run_dir=str(run.path),
                data_dir=settled.data_dir,
                attacks=run_flags["report_attacks"],
                num_images=run_flags["report_images"],
                audit=False,
            )
        )
    evaluate.print_table(evaluations)


def _load_settings(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    loaded = files.read_json_object(path)
    # A run's config.json holds its settings beside other things.
    inner = loaded.get("settings", loaded)
    if not isinstance(inner, dict):
        raise UsageError(f"`settings` in {path} must be a JSON object.")
    return inner


if __name__ == "__main__":
    main()
