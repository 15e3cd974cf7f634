"""Signs in a run's history that its robustness is not what it seems."""

from collections.abc import Callable, Mapping, Sequence

Row = Mapping[str, float]

# What the alarms compare; a measurement has all of it.
COMPARED = (
    "train_mode_accuracy", "inference_mode_accuracy", "val_fgsm_accuracy",
    "val_pgd_accuracy",
)  # fmt: skip
# Points of accuracy, as shares of 1.
MODE_GAP = 0.15
PGD_DROP = 0.20
DIVERGENCE = 0.02
_TREND_LENGTH = 3


def modes_disagree(rows: Sequence[Row]) -> str | None:
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


def fgsm_rises_while_pgd_falls(rows: Sequence[Row]) -> str | None:
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


def pgd_collapses(rows: Sequence[Row]) -> str | None:
    """Looks for catastrophic overfitting (arXiv:2001.03994)."""
    if len(rows) < 2:
        return None
    drop = rows[-2]["val_pgd_accuracy"] - rows[-1]["val_pgd_accuracy"]
    if drop <= PGD_DROP:
        return None
    return (
        f"accuracy under PGD fell by {drop:.1%} since epoch "
        f"{rows[-2]['epoch']:.0f}: catastrophic overfitting"
    )


ALARMS: tuple[Callable[[Sequence[Row]], str | None], ...] = (
    modes_disagree,
    fgsm_rises_while_pgd_falls,
    pgd_collapses,
)


def raised(
    rows: Sequence[Row], *, defended: bool = True
) -> list[dict[str, str | int]]:
    """Returns the alarms that the newest measurement raises.

    Args:
        rows: The measurements so far, oldest first, with "epoch" and, as
            shares of 1, what `COMPARED` names.
        defended: Whether the method trains against attacks. Where it does
            not, robustness comes and goes by chance.

    Returns:
        For each alarm its "epoch", "name" and "message".
    """
    if not rows:
        return []
    alarms = ALARMS if defended else (modes_disagree,)
    found = [(alarm.__name__, alarm(rows)) for alarm in alarms]
    return [
        {"epoch": int(rows[-1]["epoch"]), "name": name, "message": message}
        for name, message in found
        if message
    ]
