"""Runs a module that is asked to end when what started it is gone.

    python -P experiments/harness/tied.py PARENT LOCK MODULE [FLAGS]

What is killed can end nothing that it started. While that ends, who starts the
same again waits for LOCK.
"""

import ctypes
import os
import runpy
import signal
import sys
from types import FrameType

import filelock

# Of linux/prctl.h.
_PR_SET_PDEATHSIG = 1
# Comes once for each thread of the parent; of two SIGTERMs, the second would
# end a training before it has written what it goes on from.
_GONE = signal.SIGUSR1


def tie(parent: int) -> None:
    """Lets SIGTERM come at the death of the parent, where Linux runs.

    Args:
        parent: Its process number.
    """
    if sys.platform != "linux":
        return

    def end(_: int, __: FrameType | None) -> None:
        signal.signal(_GONE, signal.SIG_IGN)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(_GONE, end)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _GONE)
    if os.getppid() != parent:
        sys.exit("What started this is gone.")


def main() -> None:
    """Runs the module as `python -m` does."""
    parent, lock, module, *flags = sys.argv[1:]
    tie(int(parent))
    sys.path.insert(0, os.getcwd())
    sys.argv = [module, *flags]
    with filelock.FileLock(lock):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
