"""The table of formats of an export; needs no TensorFlow.

A new one is a module with two functions and a row:

    write(classifier, class_names, folder) -> names of its entry points
    answers(folder) -> by each name, a function of uint8 images to logits
"""

import dataclasses
import importlib.util
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
    """

    help: str
    module: str
    beside: Path = Path()
    packages: tuple[str, ...] = ()

    def load(self) -> ModuleType:
        """Returns the module.

        Raises:
            UsageError: if a package is absent that it needs.
        """
        absent = [p for p in self.packages if not _is_installed(p)]
        if absent:
            raise UsageError(
                f"This `format` needs {', '.join(absent)}; install them with "
                'python -m pip install "tfgan_robust[export]".'
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
    ),
)
FORMATS.add(
    "onnx",
    Format(
        help="for ONNX Runtime, OpenVINO and others",
        module="tfgan_robust.serving.onnx",
        packages=("onnx", "tf2onnx", "onnxruntime"),
    ),
)
FORMATS.add(
    "litert",
    Format(
        help="for LiteRT (TensorFlow Lite), on phones and small machines",
        module="tfgan_robust.serving.litert",
        packages=("ai_edge_litert",),
    ),
)
