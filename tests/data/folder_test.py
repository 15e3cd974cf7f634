"""Folders of images: what is read, in which order, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.data.folder import load
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.errors import DataNotFoundError, UsageError

SIDE = 16
RED, GREEN, BLUE = (200, 10, 30), (20, 180, 40), (0, 50, 250)


def write(path: Path, image: np.ndarray) -> None:
    """Writes PNG or JPEG, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    jpeg = path.suffix.lower() != ".png"
    encode = tf.io.encode_jpeg if jpeg else tf.io.encode_png
    path.write_bytes(encode(image).numpy())


def noise(seed: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(
        256, size=(height, width, 3), dtype=np.uint8
    )


def plain(colour: tuple[int, ...], side: int = SIDE) -> np.ndarray:
    return np.full((side, side, len(colour)), colour, np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, of three training images and one test image each."""
    root = tmp_path / "animals"
    for number, name in enumerate(("zebra", "ant")):
        for index in range(3):
            path = root / "train" / name / f"{index}.png"
            write(path, noise(10 * number + index))
        write(root / "test" / name / "0.png", noise(10 * number + 9))
    return root


def refused(root: Path, **options) -> str:
    """The message with which training on a folder is refused."""
    with pytest.raises(UsageError) as error:
        load_training("folder", data_dir=root, **options)
    return str(error.value)


def test_images_come_by_class_and_name_whatever_order_they_lie_in(root):
    info, train = load(root, None, "train")
    expected = [noise(seed) for seed in (10, 11, 12, 0, 1, 2)]
    np.testing.assert_array_equal(train.images, expected)
    np.testing.assert_array_equal(train.labels, [0, 0, 0, 1, 1, 1])
    assert train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert info.class_names == ("ant", "zebra")
    assert info.image_shape == (SIDE, SIDE, 3)
    assert info.num_classes == 2


def test_images_are_in_the_order_of_their_paths_as_text(root):
    write(root / "train" / "ant b" / "0.png", noise(20))
    write(root / "test" / "ant b" / "0.png", noise(20))
    info, train = load(root, None, "train")
    assert info.class_names == ("ant", "ant b", "zebra")
    np.testing.assert_array_equal(train.labels, [1, 0, 0, 0, 2, 2, 2])
    np.testing.assert_array_equal(train.images[0], noise(20))


def test_test_images_are_those_of_the_test_folder(root):
    _, test = load_test("folder", data_dir=str(root))
    np.testing.assert_array_equal(test.images, [noise(19), noise(9)])
    np.testing.assert_array_equal(test.labels, [0, 1])


def test_training_and_validation_are_the_train_folder(root):
    info, training, validation = load_training(
        "folder", data_dir=root, validation_images=2
    )
    np.testing.assert_array_equal(np.bincount(validation.labels), [1, 1])
    found = np.concatenate([training.images, validation.images])
    expected = {noise(seed).tobytes() for seed in (0, 1, 2, 10, 11, 12)}
    assert {image.tobytes() for image in found} == expected
    assert info.source == "folder animals"


def test_every_kind_of_image_becomes_three_channels(root):
    folder = root / "train" / "ant"
    kinds = {
        "3 grey.png": plain((77,)),
        "4 transparent.png": plain((*RED, 5)),
        "5 colour.jpg": plain(GREEN),
        "6 grey.jpeg": plain((99,)),
        "7 UPPER.PNG": plain(BLUE),
    }
    for name, image in kinds.items():
        write(folder / name, image)
    (folder / "notes.txt").write_text("ignored")
    _, train = load(root, None, "train")
    expected = [plain(c) for c in ((77,) * 3, RED, GREEN, (99,) * 3, BLUE)]
    assert (train.labels == 0).sum() == 3 + len(kinds)
    # JPEG keeps a plain colour but for rounding.
    np.testing.assert_allclose(train.images[3:8], expected, atol=2)
    for exact in (3, 4, 7):
        np.testing.assert_array_equal(train.images[exact], expected[exact - 3])


def test_images_of_any_shape_are_resized_on_request(root):
    write(root / "train" / "ant" / "wide.png", plain(RED, 40)[:30])
    write(root / "train" / "ant" / "xsmall.png", plain(GREEN, 5))
    info, train = load(root, 24, "train")
    assert info.image_shape == (24, 24, 3)
    assert train.images.shape == (8, 24, 24, 3)
    assert train.images.dtype == np.uint8
    np.testing.assert_array_equal(train.images[3], plain(RED, 24))
    np.testing.assert_array_equal(train.images[4], plain(GREEN, 24))


def test_shrinking_averages(root):
    stripes = np.tile(np.array([0, 255, 255, 0], np.uint8), SIDE)
    image = np.broadcast_to(stripes[:, np.newaxis], (4 * SIDE, 4 * SIDE, 3))
    write(root / "test" / "ant" / "0.png", image)
    _, test = load(root, SIDE, "test")
    # Without antialiasing all of it would come out white.
    inside = test.images[0, :, 1:-1].astype(int)
    assert np.abs(inside - 127).max() < 10


def test_other_folders_do_not_shift_the_labels(root):
    write(root / "more" / "aardvark" / "0.png", noise(50))
    info, test = load(root, None, "test")
    assert info.class_names == ("ant", "zebra")
    np.testing.assert_array_equal(test.labels, [0, 1])


def test_a_tilde_is_the_home(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    _, test = load_test("folder", data_dir="~/animals")
    assert len(test.labels) == 2


def test_a_directory_must_be_given():
    assert "needs data_dir" in refused(None)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("load", [load_training, load_test])
def test_a_missing_split_is_named(root, split, load):
    (root / split).rename(root / "elsewhere")
    with pytest.raises(DataNotFoundError) as error:
        load("folder", data_dir=root)
    assert str(error.value).startswith(f"{root / split} is no folder")
    assert "D/train/<class>/*.png" in str(error.value)
    assert error.value.exit_code == 4


@pytest.mark.parametrize("content", [[], ["notes.txt"]])
def test_an_empty_class_is_named(root, content):
    empty = root / "train" / "bee"
    empty.mkdir()
    for name in content:
        (empty / name).write_text("no image")
    assert f"The class folder {empty} holds no .png" in refused(root)


@pytest.mark.parametrize(
    ("gone", "left"), [(["ant"], "zebra"), (["ant", "zebra"], "none")]
)
def test_fewer_than_two_classes_are_refused(root, gone, left):
    for split in ("train", "test"):
        for name in gone:
            (root / split / name).rename(root / f"{name} of {split}")
    message = refused(root)
    assert message.endswith(f"at least two classes. Received: {left}.")


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_of_one_split_only_are_named(root, split):
    write(root / split / "bee" / "0.png", noise(0))
    assert refused(root).endswith("Received in one only: bee.")


PNG, JPEG = (
    encode(noise(0)).numpy() for encode in (tf.io.encode_png, tf.io.encode_jpeg)
)


@pytest.mark.parametrize("size", [None, 32])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.png", b""),
        ("text.png", b"not an image"),
        ("cut.jpg", JPEG[: len(JPEG) // 2]),
        ("cut.png", PNG[:100]),
    ],
)
def test_an_unreadable_image_is_named(root, name, content, size):
    bad = root / "train" / "zebra" / name
    bad.write_bytes(content)
    message = refused(root, image_size=size)
    assert message.startswith(f"{bad} is no readable PNG or JPEG image")


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, lambda path: path.symlink_to("nowhere.png")],
    ids=["folder", "link"],
)
def test_what_is_no_file_is_named(root, make):
    bad = root / "train" / "zebra" / "bad.png"
    make(bad)
    assert refused(root).startswith(f"{bad} is no readable")


def test_mixed_sizes_are_named_and_image_size_is_advised(root):
    write(root / "train" / "zebra" / "7.png", noise(0, 20, 20))
    message = refused(root)
    first = root / "train" / "ant" / "0.png"
    other = root / "train" / "zebra" / "7.png"
    assert f"{first} of 16 x 16 and {other} of 20 x 20 pixels" in message
    assert "give image_size=32" in message


def test_images_must_be_squares_without_image_size(root):
    for path in root.glob("*/*/*.png"):
        write(path, noise(0, 20, 16))
    message = refused(root)
    assert "must be squares of one size" in message
    assert "0.png of 20 x 16" in message
