"""Folders of images: what is read, in which order, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
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
    order = np.argsort(test.labels)
    np.testing.assert_array_equal(test.images[order], [noise(19), noise(9)])
    np.testing.assert_array_equal(test.labels[order], [0, 1])


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
    assert "needs `data_dir=D`" in refused(None)


def test_test_images_need_no_training_images(root):
    (root / "train").rename(root / "elsewhere")
    assert len(load_test("folder", data_dir=root)[1].labels) == 2


@pytest.mark.parametrize(
    ("split", "load"),
    [("train", load_training), ("test", load_training), ("test", load_test)],
)
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
    assert f"The class folder {empty} holds no image" in refused(root)


@pytest.mark.parametrize(
    ("gone", "left"), [(["ant"], "zebra"), (["ant", "zebra"], "none")]
)
def test_fewer_than_two_classes_are_refused(root, gone, left):
    for split in ("train", "test"):
        for name in gone:
            (root / split / name).rename(root / f"{name} of {split}")
    message = refused(root)
    assert message.endswith(f"at least two classes. Received: {left}.")


def test_test_images_of_classes_that_are_not_trained_are_named(root):
    write(root / "test" / "bee" / "0.png", noise(0))
    assert f"Received in {root / 'test'} only: bee." in refused(root)


def test_classes_without_test_images_do_not_shift_the_labels(root):
    write(root / "train" / "bee" / "0.png", noise(70))
    info, training, _ = load_training("folder", data_dir=root)
    names = info.class_names
    assert names == ("ant", "bee", "zebra")
    info, test = load_test("folder", data_dir=root, class_names=names)
    assert info.class_names == names
    assert info.notes == ("there are no images of bee",)
    for image, label in zip(test.images, test.labels, strict=True):
        seed = {"ant": 19, "zebra": 9}[names[label]]
        np.testing.assert_array_equal(image, noise(seed))


def test_labels_follow_names_whatever_their_order(root):
    info, test = load_test("folder", data_dir=root)
    other, found = load_test(
        "folder", data_dir=root, class_names=("zebra", "cow", "ant")
    )
    assert [info.class_names[n] for n in test.labels] == [
        other.class_names[n] for n in found.labels
    ]
    with pytest.raises(UsageError, match=r"knows \(ant, cow\). Received: zeb"):
        load_test("folder", data_dir=root, class_names=("ant", "cow"))


def test_hidden_files_and_folders_are_no_data(root):
    write(root / "train" / ".ipynb_checkpoints" / "0.png", noise(0))
    write(root / "train" / "ant" / "._0.png", noise(0))
    (root / "train" / "ant" / ".DS_Store").write_bytes(b"rubbish")
    info, train = load(root, None, "train")
    assert info.class_names == ("ant", "zebra") and info.notes == ()
    assert len(train.labels) == 6


def test_what_is_not_used_is_counted_and_named(root):
    folder = root / "train" / "ant"
    (folder / "notes.txt").write_text("no image")
    (folder / "more").mkdir()
    for number in range(4):
        write(folder / "more" / f"{number}.png", noise(number))
    info, train = load(root, None, "train")
    assert len(train.labels) == 6
    assert info.notes == (
        "5 files in animals are not used: train/ant/more/0.png, "
        "train/ant/more/1.png, train/ant/more/2.png, ...",
    )


@pytest.mark.parametrize("kind", ["BMP", "GIF", "WEBP", "TIFF", "PNG"])
@pytest.mark.parametrize("suffix", [".bmp", ".png", ".jfif", ""])
def test_contents_decide_the_format(root, kind, suffix):
    colours = np.array([RED, GREEN, BLUE], np.uint8)
    image = colours[np.random.default_rng(0).integers(3, size=(SIDE, SIDE))]
    path = root / "train" / "ant" / f"9{suffix}"
    picture = PIL.Image.fromarray(image)
    # With a palette where the format has one.
    if kind in ("BMP", "GIF", "PNG"):
        picture = picture.quantize(3)
    picture.save(path, kind, **({"lossless": True} if kind == "WEBP" else {}))
    _, train = load(root, None, "train")
    np.testing.assert_array_equal(train.images[3], image)


def test_sixteen_bits_become_eight(root):
    deep = np.random.default_rng(0).integers(2**16, size=(SIDE, SIDE))
    path = root / "train" / "ant" / "9.png"
    PIL.Image.fromarray(deep.astype(np.uint16)).save(path)
    _, train = load(root, None, "train")
    expected = np.repeat((deep >> 8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(train.images[3], expected)
    PIL.Image.fromarray(deep.astype(np.float32)).save(path, "TIFF")
    with pytest.raises(UsageError, match="convert it to 8 bits"):
        load(root, None, "train")


@pytest.mark.parametrize("name", ["a[b]", "a*", "Ünï çode", "a b ", "10%"])
def test_folders_of_any_name(root, name):
    moved = root.rename(root.parent / name)
    write(moved / "train" / name / "0.png", noise(0))
    info, train = load(moved, None, "train")
    assert name in info.class_names and len(train.labels) == 7


@pytest.mark.parametrize("seed", range(4))
def test_the_first_n_test_images_stand_for_all(tmp_path, seed):
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 40, size=4)
    for number, size in enumerate(sizes):
        for index in range(size):
            path = tmp_path / "test" / f"{number}" / f"{index}.png"
            write(path, generator.integers(256, size=(4, 4, 3), dtype=np.uint8))
    _, test = load_test("folder", data_dir=tmp_path)
    assert np.array_equal(np.bincount(test.labels), sizes)
    for count in range(1, sizes.sum() + 1):
        drawn = np.bincount(test.labels[:count], minlength=4)
        expected = count * sizes / sizes.sum()
        assert np.abs(drawn - expected).max() < 2


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
    assert message.startswith(f"{bad} is no readable image")


def test_links_are_followed_and_broken_ones_named(root):
    link = root / "train" / "zebra" / "link.png"
    link.symlink_to(root / "train" / "ant" / "0.png")
    assert len(load(root, None, "train")[1].labels) == 7
    link.unlink()
    link.symlink_to("nowhere.png")
    assert refused(root).startswith(f"{link} is a link to nothing")
    link.unlink()
    link.symlink_to(link)
    assert refused(root).startswith(f"{link} is a link to nothing")


def test_classes_and_whole_folders_may_be_links(root, tmp_path):
    expected = load(root, None, "train")[1]
    elsewhere = tmp_path / "elsewhere"
    (root / "train" / "ant").rename(elsewhere)
    (root / "train" / "ant").symlink_to(elsewhere)
    (tmp_path / "animals link").symlink_to(root)
    info, train = load(tmp_path / "animals link", None, "train")
    assert info.class_names == ("ant", "zebra")
    assert info.notes == ()
    np.testing.assert_array_equal(train.images, expected.images)
    np.testing.assert_array_equal(train.labels, expected.labels)


def test_a_class_whose_link_leads_nowhere_is_not_lost_unnoticed(root):
    link = root / "train" / "bear"
    link.symlink_to("away", target_is_directory=True)
    assert refused(root).startswith(f"{link} is a link to nothing")


def test_a_link_back_to_its_folder_ends(root):
    link = root / "train" / "ant" / "again"
    link.symlink_to("..", target_is_directory=True)
    info, train = load(root, None, "train")
    assert len(train.labels) == 6
    assert "are not used" in info.notes[0]


MANY = """
import resource, sys
from tfgan_robust.data.folder import load

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

load(sys.argv[1] + "/few", 32, "train")
before = peak()
_, split = load(sys.argv[1] + "/many", 32, "train")
print(split.images.shape, peak() - before)
"""


@pytest.mark.slow
def test_ten_thousand_photographs_fit_into_a_few_hundred_megabytes(tmp_path):
    photos = []
    for seed in range(20):
        path = tmp_path / "photos" / f"{seed}.jpg"
        smooth = noise(seed, 5, 5).repeat(100, axis=0).repeat(100, axis=1)
        write(path, smooth)
        photos.append(path)
    for name, count in (("few", 20), ("many", 10_000)):
        for index in range(count):
            label = ("cat", "dog")[index % 2]
            link = tmp_path / name / "train" / label / f"{index}.jpg"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(photos[index % len(photos)])
        (tmp_path / name / "test").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    shape, grown = done.stdout.rsplit(maxsplit=1)
    assert shape == "(10000, 32, 32, 3)"
    # Of 7,500 that they are; 31 is what the small images take.
    assert float(grown) < 200


def test_mixed_sizes_are_named_and_image_size_is_advised(root):
    write(root / "train" / "zebra" / "7.png", noise(0, 20, 20))
    message = refused(root)
    first = root / "train" / "ant" / "0.png"
    other = root / "train" / "zebra" / "7.png"
    assert f"{first} of 16 x 16 and {other} of 20 x 20 pixels" in message
    assert "give `image_size=32`" in message


def test_images_must_be_squares_without_image_size(root):
    for path in root.glob("*/*/*.png"):
        write(path, noise(0, 20, 16))
    message = refused(root)
    assert "must be squares of one size" in message
    assert message.count("0.png of 20 x 16 pixels; give") == 1
    assert message.count(".png") == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(root, orientation):
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    # An L, which no turn and no mirror leaves as it is.
    image[2:14, 3:5] = 255
    image[12:14, 3:10] = 255
    # How a camera stores what is to be shown as `image`.
    stored = {
        1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1], 5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x), 7: lambda x: np.rot90(x)[:, ::-1][::-1, ::-1],
        8: lambda x: np.rot90(x, -1),
    }[orientation](image)  # fmt: skip
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = root / "train" / "ant" / "0.png"
    PIL.Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    _, train = load(root, None, "train")
    if orientation == 7:
        # Mirrored along the other diagonal.
        image = stored[::-1, ::-1].transpose(1, 0, 2)
    np.testing.assert_array_equal(train.images[0], image)


@pytest.mark.parametrize(("height", "width"), [(16, 40), (41, 16)])
def test_the_middle_square_of_an_image_is_taken(root, height, width):
    image = noise(5, height, width)
    write(root / "train" / "ant" / "0.png", image)
    _, train = load(root, SIDE, "train")
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    middle = image[top : top + SIDE, left : left + SIDE]
    np.testing.assert_array_equal(train.images[0], middle)


def test_images_of_a_size_that_nobody_means_are_named(root, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    message = refused(root)
    assert "animals/train/ant/0.png is too large" in message
    assert "256 pixels" in message


def test_names_of_classes_that_are_no_text_are_named(root):
    odd = os.fsencode(root / "train") + b"/\xff\xfe"
    os.mkdir(odd)
    try:
        message = refused(root)
    finally:
        os.rmdir(odd)
    assert "must be UTF-8" in message and r"Received: \xff\xfe in" in message


def test_names_of_files_that_are_no_text_are_written_out(root):
    odd = os.fsencode(root / "train" / "ant") + b"/\xff.txt"
    with open(odd, "wb") as file:
        file.write(b"not an image")
    info, _ = load(root, None, "train")
    (note,) = info.notes
    assert r"train/ant/\xff.txt" in note
    note.encode("utf-8")


def test_bad_test_images_are_refused_before_training(root):
    bad = root / "test" / "zebra" / "0.png"
    kept = bad.read_bytes()
    bad.write_bytes(kept[:60])
    assert refused(root).startswith(f"{bad} is no readable image")
    write(bad, noise(3, 24, 24))
    write(root / "test" / "ant" / "0.png", noise(4, 24, 24))
    message = refused(root)
    assert "Received: (24, 24, 3)" in message and "image_size" in message
    load_training("folder", data_dir=root, image_size=16)
