"""Sheets of images with words."""

import numpy as np

from tfgan_robust.training.captions import Row, draw

IMAGES = np.random.default_rng(0).uniform(size=(3, 16, 16, 3)).astype("f4")


def dark(sheet):
    return (sheet.sum(axis=-1) < 300).sum()


def test_images_are_there_enlarged_and_whole():
    sheet = draw([Row("clean", IMAGES), Row("both", IMAGES[::-1])])
    assert sheet.dtype == np.uint8
    tiles = sheet[:, -3 * 64 :]
    enlarged = IMAGES.repeat(4, axis=1).repeat(4, axis=2)
    for top, images in ((0, enlarged), (80, enlarged[::-1])):
        for column in range(3):
            tile = tiles[top : top + 64, column * 64 : (column + 1) * 64]
            np.testing.assert_allclose(tile / 255, images[column], atol=1 / 255)


def test_words_stand_below_their_images():
    words = ["cat", "", "dog"]
    without = draw([Row("clean", IMAGES)])
    sheet = draw([Row("clean", IMAGES, words)])
    changed = (sheet != without).any(axis=-1)
    assert not changed[:64].any()
    below = changed[64:, -3 * 64 :].reshape(16, 3, 64).any(axis=(0, 2))
    assert below.tolist() == [True, False, True]


def test_marked_words_are_red():
    sheet = draw([Row("", IMAGES, ["cat"] * 3, [False, True, False])])
    red, green, _ = np.moveaxis(sheet[64:, -3 * 64 :].astype(int), -1, 0)
    found = (red - green > 100).reshape(16, 3, 64).any(axis=(0, 2))
    assert found.tolist() == [False, True, False]


def test_long_words_do_not_run_into_each_other():
    word = "pneumonoultramicroscopicsilicovolcanoconiosis"
    alone = draw([Row("", IMAGES, [word, "", ""])])
    white = alone[64:, -2 * 64 :]
    assert (white == 255).all()
    assert dark(alone[64:, : -2 * 64]) > 0


def test_a_title_is_beside_its_row():
    titled = draw([Row("clean", IMAGES), Row("", IMAGES)])
    beside = titled[:, : -3 * 64]
    assert dark(beside[:64]) > 0
    assert dark(beside[80:]) == 0
