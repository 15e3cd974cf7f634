"""Loads TensorFlow without its start-up notes."""

import os
import sys


def load_tensorflow() -> None:
    """Imports TensorFlow with its native log lines hidden.

    They would bury the one line of an error. Setting TF_CPP_MIN_LOG_LEVEL
    shows them. Python's own errors are not hidden.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            import tensorflow as tf

            # The first look at the devices is as talkative as the import.
            tf.config.list_physical_devices()
            tf.get_logger().setLevel("ERROR")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
