"""The Keras dtype policy of layers that are being made."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def under_policy(policy: str | keras.DTypePolicy) -> Iterator[None]:
    """Sets the policy of layers that are made meanwhile."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)
