"""Files decoded in a graph lie as people see them."""

import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tfgan_robust.data.folder import load
from tfgan_robust.serving.decoding import decode_files, orientation

SIDE = 16


def picture(height=SIDE, width=SIDE):
    """Slow waves, which JPEG keeps, of no symmetry."""
    rows, columns = np.mgrid[:height, :width]
    channels = [8 * rows, 5 * columns + 3 * rows, 200 - 6 * columns]
    return np.stack(channels, -1).clip(0, 255).astype(np.uint8)


def encoded(image, turned=None, kind="JPEG", **options):
    exif = PIL.Image.Exif()
    if turned is not None:
        exif[0x010F] = "A camera of a long name"
        exif[0x0112] = turned
    stored = io.BytesIO()
    if kind == "JPEG":
        options = {"quality": 100, "subsampling": 0, **options}
    PIL.Image.fromarray(image).save(stored, kind, exif=exif, **options)
    return stored.getvalue()


@tf.function
def decode(files):
    return decode_files(files, (SIDE, SIDE), 3)


@pytest.mark.parametrize("turned", [None, *range(1, 9)])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 24), (24, 16)])
def test_files_are_turned_as_pillow_turns_them(turned, height, width):
    file = encoded(picture(height, width), turned)
    assert orientation(tf.constant(file)) == (turned or 1)
    upright = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(file)))
    expected = np.asarray(upright)
    top, left = ((length - SIDE) // 2 for length in expected.shape[:2])
    expected = expected[top : top + SIDE, left : left + SIDE].astype(int)
    images, readable = decode(tf.constant([file]))
    assert readable.numpy().all()
    # Decoders of JPEG round in their own ways.
    assert np.abs(images[0].numpy().astype(int) - expected).max() <= 8


@pytest.mark.parametrize("value", [0, 9, 300])
def test_what_no_orientation_is_turns_nothing(value):
    assert orientation(tf.constant(encoded(picture(), value))) == 1


def big_endian(file):
    """The same EXIF data as other cameras write them."""
    exif = PIL.Image.Exif()
    exif.endian = ">"
    exif[0x0112] = 6
    stored = io.BytesIO()
    PIL.Image.open(io.BytesIO(file)).save(stored, "JPEG", exif=exif)
    return stored.getvalue()


def test_both_orders_of_bytes_are_read():
    file = big_endian(encoded(picture()))
    assert b"MM\x00*" in file
    assert orientation(tf.constant(file)) == 6


def test_damaged_files_turn_nothing_and_end():
    file = encoded(picture(), 6)
    generator = np.random.default_rng(0)
    for _ in range(50):
        damaged = bytearray(file[: generator.integers(1, len(file))])
        for place in generator.integers(0, len(damaged), 8):
            damaged[place] = generator.integers(256)
        assert 1 <= orientation(tf.constant(bytes(damaged))) <= 8


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF"])
def test_other_formats_are_read(kind):
    images, readable = decode(tf.constant([encoded(picture(), kind=kind)]))
    assert readable.numpy().all()
    most = 60 if kind == "GIF" else 0
    assert np.abs(images[0].numpy().astype(int) - picture()).max() <= most


def test_training_and_serving_see_the_same(tmp_path):
    """A photograph as a camera stores it, in a folder and in a request."""
    file = encoded(picture(40, 60), 6)
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.jpg").write_bytes(file)
    _, train = load(tmp_path, SIDE, "train")
    images, _ = decode(tf.constant([file]))
    difference = images[0].numpy().astype(int) - train.images[0]
    assert np.abs(difference).max() <= 8
