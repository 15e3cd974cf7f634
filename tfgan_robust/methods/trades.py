"""TRADES as a training method (arXiv:1901.08573)."""

import tensorflow as tf

from tfgan_robust.attacks.linf import project
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.methods.base import Method, fold_in
from tfgan_robust.methods.gradient_settings import TRADESSettings
from tfgan_robust.networks.losses import divergence

# Standard deviation of the noise that images are left by: at the image itself
# the divergence has no gradient (Algorithm 1 of the paper).
_NOISE = 1e-3
_START = 0


class TRADES(Method):
    """Trades accuracy for answers that a perturbation does not change.

    Perturbations ascend the divergence between the answers to clean and to
    perturbed images; the loss is the cross-entropy of the clean ones and that
    divergence. See `Method` for the arguments and what is raised.
    """

    settings: TRADESSettings

    def perturb(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """See `Method.perturb`."""
        clean = tf.stop_gradient(self.logits_fn(images))
        noise = tf.random.stateless_normal(
            tf.shape(images), fold_in(seed, _START)
        )
        radius = self.radius
        perturbed = pgd(
            self.logits_fn,
            images,
            labels,
            eps=radius,
            num_steps=self.settings.divergence_steps,
            step_size=self.settings.divergence_step * radius,
            start=project(images + _NOISE * noise, images, radius),
            loss_fn=lambda _, logits: divergence(clean, logits),
            in_graph=self.attacks_in_inference,
        )
        return [perturbed]

    def loss(
        self,
        labels: tf.Tensor,
        clean: tf.Tensor | None,
        perturbed: list[tf.Tensor],
    ) -> tf.Tensor:
        """Computes equation 5 of arXiv:1901.08573, the surrogate loss."""
        (logits,) = perturbed
        weight = self.settings.divergence_weight
        return self.cross_entropy(labels, clean) + weight * divergence(
            clean, logits
        )
