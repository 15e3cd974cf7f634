"""The table of formats of an export; needs no TensorFlow.

A new one is a module with two functions and a row:

    write(classifier, class_names, folder) -> names of its entry points
    answers(folder) -> by each name, a function of uint8 images to logits
"""

import dataclasses
import importlib.util
import shlex
from pathlib import Path
from types import ModuleType

from tfgan_robust.errors import UsageError
from tfgan_robust.lazy import load
from tfgan_robust.registry import Registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A row of the table.

    Attributes:
        help: A few words for the command line.
        module: Where it is written and read.
        beside: The folder, within a version, for what people and programs
            want to know of the model.
        packages: What must be installed, by the names that are imported.
        tried_by: Words of a command that runs it; `{output}` and
            `{version}` stand for the folder and the version in it.
    """

    help: str
    module: str
    beside: Path = Path()
    packages: tuple[str, ...] = ()
    tried_by: tuple[str, ...]

    def command(self, version: Path) -> str:
        """Returns the command that runs an export, as a shell takes it.

        Args:
            version: The folder that was written.
        """
        path = version.absolute()
        places = {"output": str(path.parent), "version": str(path)}
        return shlex.join(word.format(**places) for word in self.tried_by)

    def load(self) -> ModuleType:
        """Returns the module.

        Raises:
            UsageError: if a package is absent that it needs.
        """
        absent = [p for p in self.packages if not _is_installed(p)]
        if absent:
            raise UsageError(
                f"This `format` needs {', '.join(absent)}; install them, in a "
                "clone, with python -m pip install '.[export]'."
            )
        module: ModuleType = load(self.module)
        return module


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


FORMATS = Registry[Format]("export format")
FORMATS.add(
    "savedmodel",
    Format(
        help="for TensorFlow Serving and TensorFlow",
        module="tfgan_robust.serving.saved_model",
        # Loaders and TensorFlow Serving leave what they do not know in it
        # alone.
        beside=Path("assets.extra"),
        tried_by=(
            "tensorflow_model_server",
            "--rest_api_port=8501",
            "--model_name=robust",
            "--model_base_path={output}",
        ),
    ),
)
FORMATS.add(
    "onnx",
    Format(
        help="for ONNX Runtime, OpenVINO and others",
        module="tfgan_robust.serving.onnx",
        packages=("onnx", "tf2onnx", "onnxruntime"),
        tried_by=(
            "python",
            "-c",
            "import sys, onnxruntime; "
            "print(onnxruntime.InferenceSession(sys.argv[1]).get_inputs()[0])",
            "{version}/model.onnx",
        ),
    ),
)
FORMATS.add(
    "litert",
    Format(
        help="for LiteRT (TensorFlow Lite), on phones and small machines",
        module="tfgan_robust.serving.litert",
        packages=("ai_edge_litert",),
        tried_by=(
            "python",
            "-c",
            "import sys; from ai_edge_litert.interpreter import Interpreter; "
            "print(Interpreter(sys.argv[1]).get_signature_list())",
            "{version}/model.tflite",
        ),
    ),
)
