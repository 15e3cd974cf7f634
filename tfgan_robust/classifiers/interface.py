"""What a model takes and gives, as users say it; needs no TensorFlow.

Attacks work on [0, 1], so that eps is on the image's scale. A model for other
pixels gets them from a layer in front of it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfgan_robust.errors import UsageError

# What a model may answer with: "probabilities" of a softmax, "sigmoids" one
# for each class; "auto" finds out.
OUTPUTS = ("auto", "logits", "probabilities", "sigmoids")
_FORMS = (
    "the lowest and the highest pixel (-1,1 or 0,255), or means and standard "
    "deviations of the channels on [0, 1] (0.49,0.48,0.45/0.25,0.24,0.26)"
)


@dataclasses.dataclass(frozen=True)
class InputRange:
    """What a model is given for pixels in [0, 1]: scale * pixel + offset.

    Attributes:
        text: As on the command line.
        scale: For each channel, or one for all.
        offset: As `scale`.
        reversed_channels: Whether it takes blue, green, red.
    """

    text: str
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reversed_channels: bool = False

    def __call__(self, images: Any) -> Any:
        """Returns what the model is given, float32, shaped as the images.

        Args:
            images: float32 [batch, height, width, channels] in [0, 1].
        """
        if self.reversed_channels:
            images = images[..., ::-1]
        scale, offset = (
            np.array(each, np.float32) for each in (self.scale, self.offset)
        )
        return images * scale + offset


def _normalised(
    text: str, means: Sequence[float], deviations: Sequence[float]
) -> InputRange:
    scale = tuple(1 / deviation for deviation in deviations)
    pairs = zip(means, deviations, strict=True)
    return InputRange(text, scale, tuple(-m / d for m, d in pairs))


UNIT = InputRange("0,1", (1.0,), (0.0,))
# What published models take. The last is what the authors of VGG trained with:
# blue, green, red in 0 to 255, less ImageNet's means.
KNOWN = (
    InputRange("0,255", (255.0,), (0.0,)),
    InputRange("-1,1", (2.0,), (-1.0,)),
    _normalised("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    _normalised("cifar10", (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
    InputRange("caffe", (255.0,), (-103.939, -116.779, -123.68), True),
)


def parse_input_range(text: str) -> InputRange:
    """Parses the pixels that a model was made for.

    Args:
        text: "LOW,HIGH", "MEANS/DEVIATIONS", or the name of one of `KNOWN`.

    Raises:
        UsageError: for anything else.
    """
    named = {each.text: each for each in (UNIT, *KNOWN)}
    if text in named:
        return named[text]
    try:
        parts = [
            [float(number) for number in part.split(",")]
            for part in text.split("/")
        ]
        if len(parts) == 1:
            low, high = parts[0]
            if low < high:
                return InputRange(text, (high - low,), (low,))
        else:
            means, deviations = parts
            channels = max(len(means), len(deviations))
            if len(deviations) == 1:
                deviations *= channels
            if min(deviations) > 0:
                return _normalised(text, means, deviations)
    except ValueError:
        pass
    raise UsageError(
        f"`input_range` must be {_FORMS}, or one of {', '.join(named)}. "
        f"Received: {text or 'nothing'}."
    )


def candidates(channels: int) -> list[InputRange]:
    """Returns those of `KNOWN` that go with so many channels."""
    return [each for each in KNOWN if len(each.offset) in (1, channels)]
