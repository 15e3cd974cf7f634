"""Natural training, the paper's undefended baseline."""

import tensorflow as tf

from tfgan_robust.methods.base import Method


class Natural(Method):
    """Leaves the images alone."""

    names = ()
    # Without robustness, the best epoch by robustness would be a random one.
    selects_by = "val_clean_accuracy"

    def perturb(
        self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """Returns nothing."""
        return []
