"""Calls of what needs TensorFlow, from a process that shall not hold it.

A device that one process holds has little memory left for the trainings that
it starts.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tfgan_robust.errors import TfganRobustError, in_one_line


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function in a process of its own, which then ends.

    Args:
        function: Of a module; it may raise.
        *args: What can be pickled, as what it returns.

    Raises:
        TfganRobustError: whatever it fails of, also if it was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        try:
            return pool.submit(function, *args).result()
        except TfganRobustError:
            raise
        except Exception as error:
            raise TfganRobustError(
                f"{function.__module__} failed in a process of its own: "
                f"{in_one_line(error)}"
            ) from error
