"""What a generator sees: the paper's four formulations, equations 6 to 9.

A formulation is a tuple of what is joined along the channels, in that order:
"image", the image; "gradient", the sign of the classifier's loss gradient
there; "noise", latent normal noise. Needs no TensorFlow.
"""

from tfgan_robust.errors import UsageError
from tfgan_robust.registry import Registry

FORMULATIONS: Registry[tuple[str, ...]] = Registry("formulation")
FORMULATIONS.add("x", ("image",))
FORMULATIONS.add("xz", ("image", "noise"))
FORMULATIONS.add("grad", ("gradient",))
FORMULATIONS.add("grad_x", ("gradient", "image"))

# Whose loss the gradient is of: the true class, or the one predicted there.
GRADIENT_LABELS = ("true", "predicted")


def sees_gradient(formulation: str) -> bool:
    """Tells whether a formulation looks at the classifier's gradient."""
    return "gradient" in FORMULATIONS[formulation]


def input_channels(
    formulation: str, image_channels: int, latent_channels: int
) -> int:
    """Returns the channels of a generator's input.

    Args:
        formulation: One of `FORMULATIONS`.
        image_channels: Channels of the images.
        latent_channels: Channels of the noise.

    Raises:
        UsageError: for an unknown formulation, one of unknown parts, or one
            whose gradient does not come first.
    """
    channels = {
        "image": image_channels,
        "gradient": image_channels,
        "noise": latent_channels,
    }
    parts = FORMULATIONS[formulation]
    unknown = sorted(set(parts) - set(channels))
    if unknown or not parts:
        raise UsageError(
            f"A formulation joins some of {', '.join(channels)}. Received: "
            f"{', '.join(parts) or 'nothing'} for {formulation}."
        )
    if "gradient" in parts[1:]:
        raise UsageError(
            "The gradient comes first in a formulation, where networks look "
            f"for its sign. Received: {', '.join(parts)} for {formulation}."
        )
    return sum(channels[part] for part in parts)
