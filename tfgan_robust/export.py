"""Command line of the export: `python -m tfgan_robust.export`."""

import os
from typing import Any

from tfgan_robust.cli import command
from tfgan_robust.cli.flags import Part
from tfgan_robust.serving.export import ExportSettings, export
from tfgan_robust.serving.formats import FORMATS

USAGE = """
Writes a classifier for TensorFlow Serving, ONNX or LiteRT.

  python -m tfgan_robust.export --run_dir=runs/cifar10-grad_x-0 --output=served
  python -m tfgan_robust.export --run_dir=R --output=served --version=2
  python -m tfgan_robust.export --run_dir=R --output=onnx --format=onnx
  python -m tfgan_robust.export --model=pretrained:cifar10-jpeg75 --output=S

Serve it with: tensorflow_model_server --rest_api_port=8501 \\
    --model_name=robust --model_base_path=$PWD/served
"""


def main() -> None:
    """Runs the command line."""
    command.main(lambda: [Part(ExportSettings)], _run, usage=USAGE)


def _run(given: dict[str, Any]) -> None:
    options = ExportSettings(**given)
    # Nothing here needs a GPU, and a training may hold all of its memory.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    exported = export(options)
    if exported.metadata["robustness"] is None and options.model:
        print(
            f"Note: nothing that was measured of {options.model} belongs to "
            "its network, so the export carries no measured robustness. "
            "Install the package again."
        )
    elif exported.metadata["robustness"] is None:
        print(
            f"Note: the run has no results.json of its {options.checkpoint} "
            "classifier, so the export carries no measured robustness. "
            "Measure it with python -m tfgan_robust.evaluate "
            f"--run_dir={options.run_dir} --checkpoint={options.checkpoint} "
            "and export another version."
        )
    print(
        f"Exported to {exported.path}: signatures "
        f"{', '.join(exported.metadata['signatures'])}. Reloaded in a fresh "
        "process, its logits differ from Keras' by at most "
        f"{exported.largest_difference:.1e}."
    )
    print(f"next: {FORMATS[options.format].command(exported.path)}")


if __name__ == "__main__":
    main()
