"""Images whose class is how bright they are, and networks that see just that.

Such a network has no use for pixels of another range than its own.
"""

import keras
import numpy as np
import PIL.Image
from keras import layers

from tfgan_robust.classifiers.interface import UNIT

SHAPE = (16, 16, 3)
CLASSES = 4


def centres(classes=CLASSES):
    """How bright an image of each class is in the mean, in [0, 1]."""
    return (np.arange(classes) + 0.5) / classes


def images_and_labels(classes=CLASSES, per_class=60, spread=0.3):
    """Draws images, uint8.

    Args:
        classes: How many there are.
        per_class: Images of each.
        spread: How far an image is from the centre of its class at most, in
            distances of centres; from 0.5 on, some are nearer to another.
    """
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), per_class)
    off = rng.uniform(-spread, spread, len(labels)) / classes
    level = 255 * (centres(classes)[labels] + off)
    noise = rng.integers(-20, 21, (len(labels), *SHAPE))
    images = np.clip(level[:, None, None, None] + noise, 0, 255)
    return images.astype(np.uint8), labels


def write(folder, images, labels):
    """Writes test images, in a folder for each class."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / "test" / f"class {label}"
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(place / f"{number}.png")
    return folder


def network(pixels=UNIT, end=None, *, sharpness=200.0, classes=CLASSES):
    """The nearest centre, of a model that takes pixels of some range."""
    undone = layers.Normalization(
        mean=np.broadcast_to(pixels.offset, 3),
        variance=np.square(np.broadcast_to(pixels.scale, 3)),
    )
    dense = layers.Dense(classes, end)
    pooled = layers.GlobalAveragePooling2D()
    model = keras.Sequential([keras.Input(SHAPE), undone, pooled, dense])
    middle = centres(classes)
    kernel = np.repeat(middle[None], 3, axis=0) / 3
    dense.set_weights([sharpness * kernel, -sharpness * middle**2 / 2])
    return model


def correct_under_fgsm(images, labels, eps, *, sharpness=200.0):
    """Counts, by NumPy alone, what the nearest centre gets right."""
    middle = centres(labels.max() + 1)

    def logits(floats):
        mean = floats.mean(axis=(1, 2, 3))[:, None]
        return sharpness * (middle * mean - middle**2 / 2)

    floats = images / 255
    shares = np.exp(logits(floats))
    shares /= shares.sum(axis=1, keepdims=True)
    # Of the cross-entropy: all pixels move alike.
    upwards = np.sign(shares @ middle - middle[labels])
    moved = np.clip(floats + eps * upwards[:, None, None, None], 0, 1)
    clean, attacked = (
        logits(each).argmax(axis=1) == labels for each in (floats, moved)
    )
    return [int(clean.sum()), int((clean & attacked).sum())]
