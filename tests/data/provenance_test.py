"""JPEG leaves its marks on the blocks of an image."""

import numpy as np
import pytest
from photographs import compressed, photographs

from tfgan_robust.data.digits import load
from tfgan_robust.data.provenance import was_jpeg


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_compressed_images_are_recognised(quality):
    assert was_jpeg(compressed(photographs(), quality))


def test_other_images_are_not():
    images = photographs()
    assert not was_jpeg(images)
    assert not was_jpeg(np.full((4, 32, 32, 3), 128, np.uint8))
    _, digits = load(None, None, "test")
    assert not was_jpeg(digits.images)
    # Compressed elsewhere and cut out of that, as the originals were.
    larger = compressed(photographs(side=48), 75)
    assert not was_jpeg(larger[:, 3:35, 5:37])
