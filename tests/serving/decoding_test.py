"""Files decoded in a graph lie as people see them."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tfgan_robust.data.folder import load
from tfgan_robust.serving.decoding import decode_files
from tfgan_robust.serving.orientation import orientation as read_orientation

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


FILE = tf.TensorSpec([], tf.string)
# As it is served; step by step it would take minutes.
orientation = tf.function(read_orientation, [FILE], autograph=False)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
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


SHORT, LONG, BYTE = (3, "H"), (4, "I"), (1, "B")


def exif(value, kind=SHORT, order="<", count=1):
    """EXIF data of one entry, the orientation."""
    number, letter = kind
    stored = struct.pack(f"{order}{letter}", value).ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI", 0x0112, number, count) + stored
    return mark + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def jpeg(data, before=b""):
    """A JPEG file with such data, and bytes in front of their marker."""
    content = b"Exif\0\0" + data
    length = struct.pack(">H", len(content) + 2)
    plain = encoded(picture())
    return plain[:2] + before + b"\xff\xe1" + length + content + plain[2:]


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(data, *, image=None, last=False, kind=b"eXIf"):
    """A PNG file with such data before its pixels, or after them."""
    plain = encoded(picture() if image is None else image, kind="PNG")
    place = len(plain) - 12 if last else 33
    return plain[:place] + chunk(kind, data) + plain[place:]


def as_pillow_sees(file):
    """Of a picture, turned or not: which of the two."""
    stored = PIL.Image.open(io.BytesIO(file))
    return np.asarray(PIL.ImageOps.exif_transpose(stored)).astype(int)


def assert_as_pillow_sees(file, turned):
    assert orientation(tf.constant(file)) == turned
    images, readable = decode(tf.constant([file]))
    assert readable.numpy().all()
    difference = images[0].numpy().astype(int) - as_pillow_sees(file)
    assert np.abs(difference).max() <= 8


@pytest.mark.parametrize("file", [jpeg, png])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [SHORT, LONG])
def test_orientations_of_two_and_of_four_bytes_are_read(file, order, kind):
    assert_as_pillow_sees(file(exif(6, kind, order)), 6)
    assert_as_pillow_sees(file(exif(9, kind, order)), 1)


def test_numbers_of_four_bytes_are_read_whole():
    for value in (6 + 2**16, 6 + 2**31):
        for order in "<>":
            assert_as_pillow_sees(jpeg(exif(value, LONG, order)), 1)


def test_an_orientation_of_another_kind_turns_nothing():
    assert_as_pillow_sees(jpeg(exif(6, BYTE)), 1)


@pytest.mark.parametrize("count", [1, 2, 300])
def test_bytes_that_fill_a_jpeg_file_are_passed_over(count):
    assert_as_pillow_sees(jpeg(exif(6), before=b"\xff" * count), 6)


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("last", [False, True])
def test_png_files_stand_upright(turned, last):
    assert_as_pillow_sees(png(exif(turned), last=last), turned)


def test_png_files_may_name_their_exif_data_as_jpeg_files_do():
    assert_as_pillow_sees(png(b"Exif\0\0" + exif(6)), 6)


def test_exif_data_beyond_many_pixels_are_read():
    noise = np.random.default_rng(0).integers(256, size=(400, 400, 3))
    file = png(exif(6), image=noise.astype(np.uint8), last=True)
    assert len(file) > 400_000
    assert orientation(tf.constant(file)) == 6


def test_other_chunks_of_a_png_file_turn_nothing():
    assert_as_pillow_sees(png(exif(6), kind=b"eXIx"), 1)


@pytest.mark.parametrize("name", ["png", "jpeg"])
def test_endless_files_end(name):
    head = png(exif(6))[:33] if name == "png" else jpeg(exif(6))[:2]
    tail = chunk(b"teSt", b"") if name == "png" else b"\xff"
    assert orientation(tf.constant(head + 2**20 * tail)) == 1


@pytest.mark.parametrize("file", [encoded(picture(), 6), png(exif(6))])
def test_damaged_files_turn_nothing_and_end(file):
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


def bitmap(mode):
    stored = io.BytesIO()
    PIL.Image.fromarray(picture()).convert(mode).save(stored, "BMP")
    return stored.getvalue()


def test_opacity_of_a_bmp_file_is_dropped():
    images, readable = decode(tf.constant([bitmap("RGBA")]))
    assert readable.numpy().all()
    np.testing.assert_array_equal(images[0], picture())


def changed(file, place, content):
    return file[:place] + content + file[place + len(content) :]


@pytest.mark.parametrize(
    "file",
    [
        encoded(picture(), 6, kind="WEBP", lossless=True),
        encoded(picture(), kind="WEBP", lossless=True),
        # The marks of JPEG XL, bare and in a container.
        b"\xff\x0a" + bytes(40),
        b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40),
        encoded(picture(), kind="TIFF"),
        bitmap("P"),
        bitmap("L"),
        bitmap("1"),
        # A header of OS/2, colours at places of their own, run lengths.
        changed(bitmap("RGB"), 14, b"\x0c"),
        changed(bitmap("RGBA"), 30, b"\x03"),
        changed(bitmap("RGB"), 30, b"\x01"),
        b"BM",
    ],
)
def test_what_is_seen_otherwise_than_in_training_is_not_read(file):
    """TensorFlow decodes some of them, upright or in false colours."""
    whole = encoded(picture(), kind="PNG")
    images, readable = decode(tf.constant([file, whole]))
    assert readable.numpy().tolist() == [False, True]
    assert not images[0].numpy().any()


@pytest.mark.parametrize(
    "file",
    [
        encoded(picture(40, 60), 6),
        jpeg(exif(6, LONG, ">"), before=b"\xff"),
        png(exif(6), image=picture(40, 60), last=True),
    ],
)
def test_training_and_serving_see_the_same(tmp_path, file):
    """A photograph as a camera stores it, in a folder and in a request."""
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0").write_bytes(file)
    _, train = load(tmp_path, SIDE, "train")
    images, _ = decode(tf.constant([file]))
    difference = images[0].numpy().astype(int) - train.images[0]
    assert np.abs(difference).max() <= 8
