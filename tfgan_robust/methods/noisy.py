"""N-FGSM as a training method: one step, away from strong noise."""

import tensorflow as tf

from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.methods.base import Method, fold_in
from tfgan_robust.methods.gradient_settings import NFGSMSettings

# The stream of the seed from which the noise is drawn.
_NOISE = 0


class NFGSM(Method):
    """Noise, then a step along the gradient's sign (arXiv:2202.01181).

    Neither is clipped to the ball, so that perturbations are as long as
    noise and step together. Images stay in [0, 1] in the end; the gradient is
    taken where the noise leads, as the paper's algorithm says, where its
    authors' program clips to [0, 1] before. See `Method` for the arguments and
    what is raised.
    """

    settings: NFGSMSettings

    def perturb(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """See `Method.perturb`; up to `noise_size + noise_step` radii long."""
        noise = tf.random.stateless_uniform(
            tf.shape(images), fold_in(seed, _NOISE), -1.0, 1.0
        )
        noisy = images + self.radius * self.settings.noise_size * noise
        gradient, _, _ = input_gradient(
            self.logits_fn, noisy, labels, self.followed
        )
        step = self.radius * self.settings.noise_step
        return [tf.clip_by_value(noisy + step * tf.sign(gradient), 0.0, 1.0)]
