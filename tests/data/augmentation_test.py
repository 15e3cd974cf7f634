"""Shifts and mirror images: which, how often, and the way back."""

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.data.augmentation import Places, draw_places, move, move_back


def random_images(count: int, side: int) -> np.ndarray:
    shape = (count, side, side, 3)
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def moved(images: tf.Tensor, seed: tuple[int, int], **options) -> np.ndarray:
    indices = tf.range(len(images))
    places = draw_places(indices, images.shape[1:3], seed, **options)
    np.testing.assert_array_equal(places.indices, indices)
    return move(images, places).numpy()


def repeated_edge_shifts(
    image: np.ndarray,
) -> dict[tuple[int, int, bool], np.ndarray]:
    """Every shift of up to a tenth of each side, plain and mirrored.

    Returns:
        Images by rows down, columns right, and whether mirrored.
    """
    height, width, _ = image.shape
    reach_y, reach_x = height // 10, width // 10
    padded = np.pad(
        image, ((reach_y, reach_y), (reach_x, reach_x), (0, 0)), mode="edge"
    )
    shifts = {}
    for y in range(2 * reach_y + 1):
        for x in range(2 * reach_x + 1):
            window = padded[y : y + height, x : x + width]
            shifts[y - reach_y, x - reach_x, False] = window
            shifts[y - reach_y, x - reach_x, True] = window[:, ::-1]
    return shifts


def recognised(augmented: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Which shift each augmented image is: integers [n, 3]."""
    known = {
        shifted.tobytes(): what
        for what, shifted in repeated_edge_shifts(image).items()
    }
    return np.array([known[one.tobytes()] for one in augmented], int)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return random_images(1, 30)[0][:, :20]


def augmented(image: np.ndarray, **options) -> np.ndarray:
    batch = np.repeat(image[np.newaxis], 1000, axis=0)
    options = {"horizontal_flip": True, "max_shift": 0.1, **options}
    return moved(tf.constant(batch), (1, 2), **options)


@pytest.mark.parametrize(("rows", "columns"), [(3, 2), (2, 2), (1, 2)])
def test_augmentation_shifts_and_mirrors_evenly(image, rows, columns):
    image = image[: 10 * rows, : 10 * columns]
    # Fails for what no shift of the reference gives.
    moves = recognised(augmented(image), image)
    for column, reach in ((0, rows), (1, columns), (2, 0.5)):
        values, counts = np.unique(moves[:, column], return_counts=True)
        assert len(values) == 2 * reach + 1
        # Five standard deviations of 1,000 draws are at most 79.
        np.testing.assert_allclose(counts, 1000 / len(values), atol=79)
    correlations = np.corrcoef(moves.T) - np.eye(3)
    assert np.abs(correlations).max() < 5 / np.sqrt(1000)


def test_nothing_is_mirrored_where_that_makes_no_sense(image):
    moves = recognised(augmented(image, horizontal_flip=False), image)
    assert not moves[:, 2].any()
    assert len(np.unique(moves, axis=0)) == 7 * 5


def test_without_shift_and_mirror_images_stay(image):
    same = augmented(image, horizontal_flip=False, max_shift=0)
    assert (same == image).all()


def test_shifts_are_those_of_the_papers_images():
    image = random_images(1, 32)[0]
    moves = recognised(augmented(image), image)
    assert np.abs(moves[:, :2]).max() == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_augmentation_keeps_the_type(image, dtype):
    assert augmented(image.astype(dtype)).dtype == dtype


def test_augmentation_is_a_function_of_its_seed():
    images = tf.constant(random_images(16, 20))

    def shifted(seed: int) -> np.ndarray:
        return moved(images, (0, seed), horizontal_flip=True, max_shift=0.1)

    np.testing.assert_array_equal(shifted(4), shifted(4))
    assert (shifted(4) != shifted(5)).any()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("column", [-2, 0, 2])
@pytest.mark.parametrize("row", [-1, 0, 1])
def test_the_way_back_restores_all_but_the_edge(row, column, mirrored):
    images = tf.constant(random_images(2, 9))
    places = Places(
        tf.range(2),
        *(tf.fill([2, 1], each) for each in (row, column, mirrored)),
    )
    back = move_back(move(images, places), places).numpy()
    inside = (slice(None), slice(1, -1), slice(2, -2))
    np.testing.assert_array_equal(back[inside], images.numpy()[inside])
    if (row, column) == (0, 0):
        np.testing.assert_array_equal(back, images)
