"""What is known of each image while attacks run; needs no TensorFlow."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class CleanPass:
    """What a classifier says of the clean images.

    Attributes:
        predicted: int64 [n].
        correct: bool [n].
        ranking: int32 [n, k], the classes but the labelled one, most likely
            first: the targets of targeted attacks.
    """

    predicted: np.ndarray
    correct: np.ndarray
    ranking: np.ndarray


@dataclasses.dataclass
class StageTotals:
    """What one stage of a plan did so far, on all images together."""

    steps: int = 0
    forward_passes: int = 0
    backward_passes: int = 0
    seconds: float = 0.0

    def add(self, steps: int, forward: int, backward: int) -> None:
        """Adds one image's steps, at so many passes each."""
        self.steps += steps
        self.forward_passes += steps * forward
        self.backward_passes += steps * backward


@dataclasses.dataclass
class Outcome:
    """What a plan did to each image at one radius, so far.

    Attributes:
        fooled: bool [n], clean errors included where they count.
        predicted: int32 [n], the class under attack; the label where the
            attack found none.
        stage: int32 [n], the stage that attacks the image next, or that
            fooled it; -1 for clean errors, which none of them attacks.
        size: float32 [n], norm of the perturbation that fools, else NaN.
        largest_perturbation: Of all attacked images.
        stored: bool [n], what fools as an image of 256 levels, too; see
            `evaluation.levels`.
        totals: For each stage.
    """

    fooled: np.ndarray
    predicted: np.ndarray
    stage: np.ndarray
    size: np.ndarray
    stored: np.ndarray
    totals: list[StageTotals]
    largest_perturbation: float = 0.0

    @property
    def correct(self) -> np.ndarray:
        """Images that nothing fooled, bool [n]."""
        return ~self.fooled

    def mean(self, passes: str) -> float:
        """Returns the mean for each image of a field of `StageTotals`."""
        return sum(getattr(t, passes) for t in self.totals) / len(self.fooled)

    @property
    def stages_done(self) -> int:
        """Pairs of an image and a stage that are settled, for progress."""
        return int(np.where(self.fooled, len(self.totals), self.stage).sum())

    def settle(
        self, number: int, size: float, predicted: int | None, *, last: bool
    ) -> None:
        """Notes the end of a run.

        Args:
            number: Which image.
            size: Norm of its perturbation.
            predicted: The class that it is taken for now; None if it is not
                fooled.
            last: Whether no other run of this stage follows.
        """
        self.largest_perturbation = max(self.largest_perturbation, size)
        if predicted is not None:
            self.fooled[number] = True
            self.predicted[number] = predicted
            self.size[number] = size
        elif last:
            self.stage[number] += 1
