"""Gradient attacks as training methods: the yardsticks of the generators."""

import tensorflow as tf

from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.methods.base import Method, fold_in
from tfgan_robust.methods.gradient_settings import (
    FGSM_STEP,
    FGSMSettings,
    PGDSettings,
)

# The stream of the seed from which the start is drawn.
_START = 0


class PGD(Method):
    """Projected gradient descent (arXiv:1706.06083)."""

    settings: PGDSettings

    @property
    def steps(self) -> tuple[int, float | tf.Tensor | None]:
        """How many, and of which size; None for PGD's own default."""
        return self.settings.attack_steps, self.settings.attack_step_size

    def perturb(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """See `Method.perturb`."""
        num_steps, step_size = self.steps
        starts_anywhere = self.settings.random_start > 0
        attacked = pgd(
            self.logits_fn,
            images,
            labels,
            eps=self.radius,
            num_steps=num_steps,
            step_size=step_size,
            seed=fold_in(seed, _START) if starts_anywhere else None,
            loss_fn=self.followed,
            in_graph=self.attacks_in_inference,
        )
        return [attacked]


class FGSM(PGD):
    """One step, from a random start (arXiv:2001.03994)."""

    settings: FGSMSettings  # type: ignore[assignment]

    @property
    def steps(self) -> tuple[int, float | tf.Tensor | None]:
        """One, by default of 1.25 eps."""
        return 1, self.settings.attack_step_size or FGSM_STEP * self.radius
