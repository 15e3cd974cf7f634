"""Batches: their order, where they start, and what augmentation does."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.data.augmentation import move
from tfgan_robust.data.batches import evaluation_batches, training_batches
from tfgan_robust.data.splits import Split
from tfgan_robust.errors import UsageError

COUNT, BATCH = 11, 4
STEPS_PER_EPOCH = COUNT // BATCH

Batches = list[tuple[np.ndarray, ...]]


def random_split(count: int, side: int = 8) -> Split:
    """Random images; the label of each is its number."""
    images = np.random.default_rng(0).integers(
        256, size=(count, side, side, 3), dtype=np.uint8
    )
    return Split(images, np.arange(count))


def take(dataset: tf.data.Dataset, count: int) -> Batches:
    return list(dataset.take(count).as_numpy_iterator())


def first_batches(
    count: int, *, split: Split | None = None, **changes
) -> Batches:
    options = {"batch_size": BATCH, "seed": 3, **changes}
    split = random_split(COUNT) if split is None else split
    return take(training_batches(split, **options), count)


def epochs(count: int, *, split: Split, seed: int = 3) -> np.ndarray:
    """Labels in the order of training, [count, images of an epoch]."""
    steps = len(split.labels) // BATCH * count
    batches = first_batches(steps, split=split, seed=seed)
    return np.reshape([labels for _, labels in batches], (count, -1))


def assert_same(some: Batches, others: Batches) -> None:
    for batch, other in zip(some, others, strict=True):
        for array, other_array in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, other_array)


@pytest.fixture(scope="module")
def from_the_start() -> Batches:
    return first_batches(5 * STEPS_PER_EPOCH, horizontal_flip=True)


@pytest.mark.parametrize("start", [0, 1, STEPS_PER_EPOCH, 5, 8])
def test_a_stream_of_the_same_seed_goes_on_as_the_first(from_the_start, start):
    rest = from_the_start[start:]
    later = first_batches(len(rest), horizontal_flip=True, start_step=start)
    assert_same(rest, later)


def test_a_start_far_away_is_reached_without_going_there():
    far = 10**9
    batches = first_batches(5, start_step=far, horizontal_flip=True)
    assert_same(
        batches[3:],
        first_batches(2, start_step=far + 3, horizontal_flip=True),
    )


def test_another_seed_gives_another_order():
    split = random_split(64)
    one, other = (epochs(1, split=split, seed=seed) for seed in (0, 1))
    assert np.mean(one == other) < 0.2


def test_an_epoch_holds_every_image_once_in_a_new_order():
    split = random_split(64)
    orders = epochs(4, split=split)
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), split.labels)
    for order, other in itertools.combinations(orders, 2):
        assert np.mean(order == other) < 0.2


def test_the_remainder_is_dropped_and_another_one_in_each_epoch():
    orders = epochs(30, split=random_split(COUNT))
    assert orders.shape == (30, STEPS_PER_EPOCH * BATCH)
    assert all(len(set(order)) == orders.shape[1] for order in orders)
    assert set(orders.flat) == set(range(COUNT))


def test_an_image_is_augmented_anew_in_each_epoch():
    # Alone in its batch, it is in the same place of each.
    alone = random_split(1, side=32)
    batches = first_batches(20, split=alone, batch_size=1)
    assert len({images.tobytes() for images, _ in batches}) > 10


def test_training_images_are_float32_between_0_and_1_with_their_labels():
    split = random_split(COUNT)
    split.images[:, 0, 0] = (0, 128, 255)
    images, labels = first_batches(1, split=split, max_shift=0)[0]
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(images, as_float(split.images[labels]))
    assert (images.min(), images.max()) == (0, 1)


def test_training_shapes_are_static():
    spec = training_batches(
        random_split(COUNT), batch_size=BATCH, seed=0
    ).element_spec
    assert spec == (
        tf.TensorSpec([BATCH, 8, 8, 3], tf.float32),
        tf.TensorSpec([BATCH], tf.int64),
    )


def test_images_come_with_their_places_if_asked():
    split = random_split(COUNT)
    options = {"batch_size": BATCH, "seed": 3, "horizontal_flip": True}
    plain = training_batches(split, **options).take(3)
    placed = training_batches(split, with_places=True, **options).take(3)
    for (images, labels), ((same, places), _) in zip(
        plain, placed, strict=True
    ):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(places.indices, labels)
        kept = tf.gather(tf.constant(split.images), places.indices)
        moved = move(kept, places).numpy()
        np.testing.assert_array_equal(images, as_float(moved))


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_make_up_the_batch_however_many_there_are(from_the_start, parts):
    read = [
        first_batches(3, horizontal_flip=True, start_step=1, part=(n, parts))
        for n in range(parts)
    ]
    joined = [
        tuple(np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
        for pieces in zip(*read, strict=True)
    ]
    assert_same(joined, from_the_start[1:4])


def test_a_batch_without_equal_parts_is_refused():
    with pytest.raises(UsageError, match="3 equal parts.*batch_size=4"):
        first_batches(1, part=(0, 3))


def test_a_batch_larger_than_the_split_is_refused():
    with pytest.raises(UsageError, match="11 .*Received: batch_size=12"):
        first_batches(1, batch_size=COUNT + 1)


def as_float(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255)


@pytest.mark.parametrize(
    ("count", "batch", "batches"), [(10, 4, 3), (8, 4, 2), (3, 4, 1)]
)
def test_evaluation_shows_every_image_once_in_order(count, batch, batches):
    split = random_split(count)
    dataset = evaluation_batches(split, batch_size=batch)
    images, labels, masks = zip(*take(dataset, 99), strict=True)
    assert len(masks) == batches
    assert all(set(mask) <= {0.0, 1.0} for mask in masks)
    real = np.concatenate(masks) == 1
    assert list(real) == [True] * count + [False] * (batches * batch - count)
    np.testing.assert_array_equal(
        np.concatenate(images)[real], as_float(split.images)
    )
    np.testing.assert_array_equal(np.concatenate(labels)[real], split.labels)


def test_evaluation_shapes_are_static():
    dataset = evaluation_batches(random_split(10), batch_size=BATCH)
    assert dataset.element_spec == (
        tf.TensorSpec([BATCH, 8, 8, 3], tf.float32),
        tf.TensorSpec([BATCH], tf.int64),
        tf.TensorSpec([BATCH], tf.float32),
    )
    for images, labels, mask in dataset.as_numpy_iterator():
        assert (images.shape, len(labels), len(mask)) == ((4, 8, 8, 3), 4, 4)
