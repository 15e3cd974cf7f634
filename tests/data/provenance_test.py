"""JPEG leaves its marks on the blocks of an image."""

import io

import numpy as np
import PIL.Image
import pytest

from tfgan_robust.data.digits import load
from tfgan_robust.data.provenance import was_jpeg


def photographs(count=40, side=32):
    """Noise of all frequencies on slow waves, as in photographs."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side] / side
    phases = generator.uniform(0, 6, (count, 1, 1, 3))
    waves = np.sin(4 * rows[..., None] + 3 * columns[..., None] + phases)
    noise = generator.normal(0, 20, (count, side, side, 3))
    return np.clip(128 + 80 * waves + noise, 0, 255).astype(np.uint8)


def compressed(images, quality):
    def through(image):
        stored = io.BytesIO()
        PIL.Image.fromarray(image).save(stored, "JPEG", quality=quality)
        return np.asarray(PIL.Image.open(stored))

    return np.stack([through(image) for image in images])


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
