"""Command line of training: `python -m tfgan_robust.train`."""

import dataclasses
import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfgan_robust.cli import command, fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.cli.flags import Part
from tfgan_robust.cli.hints import following
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.lazy import load
from tfgan_robust.methods.registry import METHODS
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.reports.tables import format_report
from tfgan_robust.runs import cluster, directory, presets, stored
from tfgan_robust.runs.common import RUN_GROUP
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.runs.directory import RunDirectory

USAGE = """
Trains a classifier that withstands adversarial attacks.

  python -m tfgan_robust.train --formulation=grad_x
  python -m tfgan_robust.train --dataset=digits --baseline
  python -m tfgan_robust.train --method=pgd --classifier_width=0.25 --epochs=15

On several machines: the same command on each, with TF_CONFIG set; see
docs/scaling.md.

Starting again with the same settings goes on where the run stopped.
Watch it with: tensorboard --logdir runs
The defaults below are those of the data set, the method, the network and the
preset that are named before --help, as in:

  python -m tfgan_robust.train --dataset=digits --method=pgd --help
"""

_Plan = list[tuple[RunDirectory, TrainConfig]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """Where to keep a run, and what to do before and after it.

    Raises:
        UsageError: for a value out of its limits or an unknown attack.
    """

    run_dir: str | None = setting(
        None,
        "Folder of the run. Default: runs/<dataset>-<what>-<seed>, such as "
        "runs/cifar10-grad_x-0, or cifar10-start-x-0, or cifar10-nfgsm-0.",
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
        unit="images",
    )
    report_attacks: str = setting(
        EvaluateSettings.attacks,
        "Attacks of the final table.",
        group=RUN_GROUP,
    )
    worker_timeout: int = setting(
        300,
        "Seconds in which all workers must have come, where several machines "
        "train together.",
        group=RUN_GROUP,
        minimum=1,
    )

    def __post_init__(self) -> None:
        fields.check(self)
        EvaluateSettings(run_dir=".", attacks=self.report_attacks)


def main() -> None:
    """Runs the command line."""
    command.main(_parts, _run, usage=USAGE, defaults=presets.defaults_for)


def _parts() -> list[Part]:
    return [
        Part(TrainFlags),
        Part(TrainConfig),
        *(Part(m.settings, f"method={name}") for name, m in METHODS.items()),
        *(Part(n.settings, f"classifier={k}") for k, n in NETWORKS.items()),
    ]


def _run(given: dict[str, Any]) -> int:
    own = fields.field_names(TrainFlags)
    flags = TrainFlags(**{n: v for n, v in given.items() if n in own})
    plan = _plan(flags, {n: v for n, v in given.items() if n not in own})
    spanned = cluster.find(plan[0][1].strategy)
    report: Callable[[], None] | None = None
    # Other workers have no folder of the run, and see none.
    if spanned is None or spanned.leads:
        for each, settled in plan:
            stored.check_configuration(each, settled)
        report = functools.partial(_report, plan, flags)
    if spanned is not None:
        command.leave_at_once()
    train_all = load("tfgan_robust.training.session:train_all")
    return train_all(plan, spanned, flags.worker_timeout, report)


def _plan(flags: TrainFlags, settings: dict[str, Any]) -> _Plan:
    """Returns what to train and where, which is known to fit together."""
    from_file = stored.load_settings(flags.config) if flags.config else {}
    configuration = presets.resolve(from_file, settings)
    run = RunDirectory(
        Path(flags.run_dir or directory.default_run_directory(configuration))
    )
    plan = [(run, configuration)]
    if flags.baseline:
        if configuration.method == "natural":
            raise UsageError(
                "`baseline` adds an undefended classifier to a defended one. "
                "Received: baseline with method=natural."
            )
        twin = presets.baseline_of(configuration)
        plan.insert(0, (RunDirectory(run.baseline), twin))
    return plan


def _report(plan: _Plan, flags: TrainFlags) -> None:
    """Says what the runs achieve, where they are, and what comes next."""
    more = []
    if flags.report_images > 0:
        _measure(plan, flags)
        more = ["--attacks=autoattack"]
    folder = plan[-1][0].path
    shown = shlex.join(["tensorboard", "--logdir", str(folder)])
    print(f"the run is in {folder}; see it with {shown}")
    print(following("evaluate", f"--run_dir={folder}", *more))


def _measure(plan: _Plan, flags: TrainFlags) -> None:
    """Measures the best checkpoint of each run on test images."""
    evaluate = load("tfgan_robust.evaluation.session:evaluate")
    evaluations = {
        settled.run_label: evaluate(
            EvaluateSettings(
                run_dir=str(run.path),
                data_dir=settled.data_dir,
                attacks=flags.report_attacks,
                num_images=flags.report_images,
                audit=False,
            ),
            replaceable=True,
        )
        for run, settled in plan
    }
    print(format_report(evaluations))


if __name__ == "__main__":
    main()
