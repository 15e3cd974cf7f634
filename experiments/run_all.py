"""All experiments of a preset, the most telling first.

python -m experiments.run_all --preset=cpu --data_dir=DIR
"""

import sys

from experiments import (
    ablations,
    architectures,
    collapse,
    directions,
    efficiency,
    epochs,
    formulations,
    pgd_iterations,
    precision,
)
from experiments.harness.command import conduct

EXPERIMENTS = tuple(
    module.EXPERIMENT
    for module in (
        formulations,
        efficiency,
        epochs,
        pgd_iterations,
        directions,
        ablations,
        architectures,
        collapse,
        precision,
    )
)

if __name__ == "__main__":
    sys.exit(conduct(EXPERIMENTS, "All experiments of a preset."))
