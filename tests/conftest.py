"""Sets TensorFlow up, once, before any test module imports it."""

import os

# Set CUDA_VISIBLE_DEVICES to run the tests on a GPU.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

# Two logical devices let MirroredStrategy be tried without a GPU. A test that
# needs op determinism runs in a process of its own: it cannot be turned off
# again here.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration() for _ in range(2)],
)


def pytest_addoption(parser):
    """Lets a developer try a few cases of each file."""
    parser.addoption("--fuzz-cases", type=int, help="of each damaged file")


def pytest_collection_modifyitems(items):
    """Begins with the longest files, so that no process ends with one."""
    items.sort(key=lambda item: "training" not in item.path.parts)
