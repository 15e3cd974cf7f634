"""Calls of what needs TensorFlow, from a process that shall not hold it.

A device that one process holds has little memory left for the trainings that
it starts.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function in a process of its own, which then ends.

    Args:
        function: Of a module; it may raise.
        *args: What can be pickled, as what it returns.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *args).result()
