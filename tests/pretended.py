"""A study that notes what it is told to do, and trials for it."""

from pathlib import Path

from experiments.harness.study import Measurement, Study, Trial, title
from tfgan_robust.errors import TfganRobustError

SETTINGS = {"dataset": "digits", "method": "natural", "epochs": 2}


def trial(name, *measurements, **changes):
    """A trial whose measurements are named after their attacks."""
    return Trial(
        name,
        SETTINGS,
        tuple(Measurement(m, {"attacks": m}) for m in measurements),
        **changes,
    )


class Pretended(Study):
    """Notes the titles of jobs.

    Args:
        done: Titles of jobs that were done before.
        failing: Of those that fail.
        idle: Of those that end without having done anything.
    """

    def __init__(self, done=(), failing=(), idle=()):
        super().__init__(Path("runs"), Path("results"))
        self.__dict__.update(
            done=set(done), failing=set(failing), idle=set(idle), calls=[]
        )

    def is_measured(self, trial, measurement):
        return title(trial, measurement) in self.done

    def is_trained(self, trial):
        return title(trial) in self.done

    def train(self, trial):
        self._do(title(trial))

    def measure(self, trial, measurement):
        self._do(title(trial, measurement))

    def _do(self, what):
        self.calls.append(what)
        if what in self.failing:
            raise TfganRobustError("it did not work")
        if what not in self.idle:
            self.done.add(what)
