"""Training steps to be timed, and what they are timed on."""

import datetime
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.data.augmentation import Places
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.build import build_model
from tfgan_robust.training.precision import choose

SHAPE, CLASSES = (32, 32, 3), 10
BUILDS = 2
ROUNDS = 3

# Takes one step of training.
Step = Callable[[], object]


def fixed_batch(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and labels, drawn at random."""
    generator = np.random.default_rng(0)
    images = generator.random((count, *SHAPE), np.float32)
    return images, generator.integers(CLASSES, size=count)


def compiled_step(settings: dict[str, Any]) -> Step:
    """Returns a bare step on one fixed batch, compiled and warm."""
    config = resolve(settings)
    count = config.batch_size
    model = build_model(config, SHAPE, CLASSES, num_images=count)
    images, labels = (tf.constant(part) for part in fixed_batch(count))
    batch: Any = (images, labels)
    if model.method.remembers:
        still = tf.zeros([count, 1], tf.int32)
        places = Places(tf.range(count), still, still, still > 0)
        batch = ((images, places), labels)
    step = tf.function(lambda: model.train_step(batch), autograph=False)

    def run() -> None:
        step()["loss"].numpy()

    run()
    return run


def shortest(run: Step, steps: int) -> float:
    """Returns the shortest time of a step."""
    return min(_times(run, steps))


def usual(run: Step, steps: int) -> float:
    """Returns the median time of a step."""
    return statistics.median(_times(run, steps))


def _times(run: Step, steps: int) -> list[float]:
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def time_steps(
    builders: Mapping[Any, Callable[[], Step]],
    steps: int,
    builds: int = BUILDS,
) -> dict[Any, float]:
    """Returns the seconds of a step of each variant.

    Of each the shortest counts: what else the machine does only adds. All take
    turns, and that twice, from building them on, since it may be slow for
    minutes.

    Args:
        builders: What makes a step, by name.
        steps: How many steps are timed at once.
        builds: How often everything begins anew.
    """
    found: dict[Any, float] = {}
    for build_number in range(1, builds + 1):
        ready = {name: build() for name, build in builders.items()}
        for _ in range(ROUNDS):
            for name, step in ready.items():
                taken = shortest(step, steps)
                found[name] = min(taken, found.get(name, taken))
        keras.backend.clear_session()
        print(f"built {build_number} of {builds} times, the shortest so far:")
        for name, taken in found.items():
            print(f"  {name}: {taken:.4f} s", flush=True)
    return found


def about(precision: str = "auto") -> dict[str, str]:
    """Says when and on what a time was measured.

    Args:
        precision: Of the configuration, as in `TrainConfig.precision`.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "device": describe_devices(),
        "precision": choose(precision).name,
    }
