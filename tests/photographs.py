"""Images as of cameras, and what JPEG makes of them."""

import io

import numpy as np
import PIL.Image


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
