"""What a generator sees: the paper's four formulations, equations 6 to 9."""

from typing import Protocol

import tensorflow as tf


class Formulation(Protocol):
    """Builds a generator's input from what an adversary has at hand."""

    def __call__(
        self, images: tf.Tensor, gradient_sign: tf.Tensor, noise: tf.Tensor
    ) -> tf.Tensor:
        """Returns the input of a generator.

        Args:
            images: float32 [batch, height, width, channels] in [0, 1].
            gradient_sign: float32, shaped as `images`, of -1, 0 and 1: the
                sign of the classifier's loss gradient at `images`.
            noise: float32 [batch, height, width, latent_channels], normal.

        Returns:
            float32 [batch, height, width, input channels].
        """


def image(
    images: tf.Tensor, gradient_sign: tf.Tensor, noise: tf.Tensor
) -> tf.Tensor:
    """G1(x), equation 6."""
    return images


def image_and_noise(
    images: tf.Tensor, gradient_sign: tf.Tensor, noise: tf.Tensor
) -> tf.Tensor:
    """G2(x, z), equation 7."""
    return tf.concat([images, noise], axis=-1)


def gradient(
    images: tf.Tensor, gradient_sign: tf.Tensor, noise: tf.Tensor
) -> tf.Tensor:
    """G3(sign of the gradient), equation 8."""
    return gradient_sign


def gradient_and_image(
    images: tf.Tensor, gradient_sign: tf.Tensor, noise: tf.Tensor
) -> tf.Tensor:
    """G4(sign of the gradient, x), equation 9; the gradient comes first."""
    return tf.concat([gradient_sign, images], axis=-1)


FORMULATIONS: dict[str, Formulation] = {
    "x": image,
    "xz": image_and_noise,
    "grad": gradient,
    "grad_x": gradient_and_image,
}


def needs_gradient(formulation: str) -> bool:
    """Tells whether a formulation looks at the classifier's gradient."""
    return formulation in ("grad", "grad_x")


def input_channels(
    formulation: str, image_channels: int, latent_channels: int
) -> int:
    """Returns the channels of the input of a generator.

    Args:
        formulation: One of `FORMULATIONS`.
        image_channels: Channels of the images.
        latent_channels: Channels of the noise of formulation `xz`.
    """
    return {
        "x": image_channels,
        "xz": image_channels + latent_channels,
        "grad": image_channels,
        "grad_x": 2 * image_channels,
    }[formulation]
