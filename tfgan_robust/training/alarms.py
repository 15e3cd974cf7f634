"""Signs in a run's history that its robustness is not what it seems."""

import math
from collections.abc import Callable, Mapping, Sequence

Row = Mapping[str, float]

# What the alarms compare; a measurement has all of it.
COMPARED = (
    "train_mode_accuracy", "inference_mode_accuracy", "val_fgsm_accuracy",
    "val_pgd_accuracy",
)  # fmt: skip
# Points of accuracy, as shares of 1.
MODE_GAP = 0.15
DIVERGENCE = 0.02
# Of the best accuracy under PGD so far: less is a collapse, if the fall is
# larger than so many of its standard errors. A run is looked at many times.
FALLEN = 0.5
_STANDARD_ERRORS = 3.0
_TREND_LENGTH = 3


def modes_disagree(rows: Sequence[Row], _: int) -> str | None:
    """Compares both modes of the classifier on the same training images.

    Batch normalisation after dropout, or lagging averages, can leave a
    classifier that trains well and fails in inference mode
    (arXiv:1801.05134).
    """
    training = rows[-1]["train_mode_accuracy"]
    inference = rows[-1]["inference_mode_accuracy"]
    if abs(training - inference) <= MODE_GAP:
        return None
    return (
        f"accuracy on the same training images is {training:.1%} in training "
        f"mode and {inference:.1%} in inference mode: batch normalisation's "
        "averages do not fit (lower `dropout_scale` or `batchnorm_momentum`)"
    )


def fgsm_rises_while_pgd_falls(rows: Sequence[Row], _: int) -> str | None:
    """Looks for learning the one-step attack only (the paper's section 4.2).

    Both must move by more than `DIVERGENCE` over the last measurements.
    """
    if len(rows) < _TREND_LENGTH:
        return None
    first, last = rows[-_TREND_LENGTH], rows[-1]
    fgsm = last["val_fgsm_accuracy"] - first["val_fgsm_accuracy"]
    pgd = last["val_pgd_accuracy"] - first["val_pgd_accuracy"]
    if fgsm <= DIVERGENCE or pgd >= -DIVERGENCE:
        return None
    return (
        f"accuracy under FGSM rose by {fgsm:.1%} while that under PGD fell by "
        f"{-pgd:.1%} since epoch {first['epoch']:.0f}: the classifier learns "
        "its adversary, not the ball"
    )


def pgd_collapses(rows: Sequence[Row], num_images: int) -> str | None:
    """Looks for catastrophic overfitting (arXiv:2001.03994)."""
    last = rows[-1]["val_pgd_accuracy"]
    best, epoch = max((row["val_pgd_accuracy"], row["epoch"]) for row in rows)
    if not has_fallen(best, last, num_images):
        return None
    return (
        f"accuracy under PGD fell to {last:.1%} from {best:.1%} at epoch "
        f"{epoch:.0f}: catastrophic overfitting"
    )


def has_fallen(best: float, last: float, num_images: int) -> bool:
    """Tells whether accuracy collapsed, rather than came out lower by chance.

    Args:
        best: The highest so far, as a share of 1.
        last: What it is now.
        num_images: On how many images.
    """
    variance = best * (1 - best) + last * (1 - last)
    error = math.sqrt(variance / num_images)
    return last < FALLEN * best and best - last > _STANDARD_ERRORS * error


ALARMS: tuple[Callable[[Sequence[Row], int], str | None], ...] = (
    modes_disagree,
    fgsm_rises_while_pgd_falls,
    pgd_collapses,
)


def raised(
    rows: Sequence[Row], num_images: int, *, defended: bool = True
) -> list[dict[str, str | int]]:
    """Returns the alarms that the newest measurement raises.

    Args:
        rows: The measurements so far, oldest first, with "epoch" and, as
            shares of 1, what `COMPARED` names.
        num_images: How many validation images were attacked.
        defended: Whether the method trains against attacks. Where it does
            not, robustness comes and goes by chance.

    Returns:
        For each alarm its "epoch", "name" and "message".
    """
    if not rows:
        return []
    alarms = ALARMS if defended else (modes_disagree,)
    found = [(alarm.__name__, alarm(rows, num_images)) for alarm in alarms]
    return [
        {"epoch": int(rows[-1]["epoch"]), "name": name, "message": message}
        for name, message in found
        if message
    ]
