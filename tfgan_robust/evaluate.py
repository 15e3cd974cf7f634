"""Command line of the evaluation: `python -m tfgan_robust.evaluate`."""

import sys
from pathlib import Path
from typing import Any

from tfgan_robust.cli import command
from tfgan_robust.cli.flags import Part
from tfgan_robust.cli.hints import following, of_run, once_more
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.cluster import measure_parts
from tfgan_robust.evaluation.merging import Parts, read_parts
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.shards import ClusterSettings
from tfgan_robust.lazy import load
from tfgan_robust.networks.pretrained import locate
from tfgan_robust.reports.tables import format_report
from tfgan_robust.reports.verdicts import format_audit
from tfgan_robust.runs.stored import load_run_config

USAGE = """
Measures a classifier's accuracy on clean and on attacked images.

  python -m tfgan_robust.evaluate --run_dir=runs/cifar10-grad_x-0
  python -m tfgan_robust.evaluate --run_dir=R --attacks=autoattack --eps=8
  python -m tfgan_robust.evaluate --model=classifier.keras --dataset=cifar10

On several machines, each of which measures a part (docs/scaling.md):

  python -m tfgan_robust.evaluate --run_dir=R --output=D --shard=3/8
  python -m tfgan_robust.evaluate --merge=D
  python -m tfgan_robust.evaluate --run_dir=R --output=D --cluster=ray
"""


def main() -> None:
    """Runs the command line."""
    command.main(
        lambda: [Part(EvaluateSettings), Part(ClusterSettings)],
        _run,
        usage=USAGE,
    )


def _run(given: dict[str, Any]) -> int:
    many = ClusterSettings.taken_from(given)
    parts: Parts | None = None
    if many.merge is not None:
        parts = read_parts(Path(many.merge))
        options = parts.options(given)
    else:
        options = EvaluateSettings(**given)
    folder = options.folder
    _check_paths(options)
    try:
        if many.cluster is not None:
            parts = measure_parts(options, many)
        evaluation = load("tfgan_robust.evaluation.session:evaluate")(
            options, parts=parts
        )
    except KeyboardInterrupt:
        if folder is not None:
            print(
                f"What was measured is kept in {folder}; the same command "
                "goes on from there.",
                file=sys.stderr,
            )
        raise
    print(format_report({evaluation.classifier: evaluation}))
    if evaluation.audit is not None:
        # Its first line is in the table's.
        print(*format_audit(evaluation.audit).splitlines()[1:], sep="\n")
    _close(options)
    return 0


def _close(options: EvaluateSettings) -> None:
    """Says where the results are, and what comes next."""
    folder = options.folder
    if folder is None:
        print("nothing was kept; --output=FOLDER keeps results and a report")
        print(once_more("evaluate", "--output=FOLDER"))
        return
    print(f"written to {folder / 'results.json'} and evaluation.md")
    if options.part is not None:
        merge = f"--merge={options.whole_folder}"
        print(following("evaluate", merge, when="all parts are measured"))
        return
    if options.run_dir is None:
        print(following("compare", str(folder), "OTHER_FOLDER"))
        return
    run = of_run(options.run_dir, options.checkpoint)
    print(following("export", *run, "--output=served"))


def _check_paths(options: EvaluateSettings) -> None:
    """Refuses paths that do not fit, before TensorFlow is loaded."""
    folder = options.folder
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"`output` must be a folder. Received: {folder}.")
    if options.run_dir is not None:
        load_run_config(options.run_dir)
    for path in (
        options.model,
        options.transfer_from,
        options.given_undefended,
    ):
        if path is not None and not locate(path).exists():
            raise UsageError(f"There is no model at {path}.")


if __name__ == "__main__":
    main()
