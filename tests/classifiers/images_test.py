"""Images and labels that cannot be measured on are refused."""

import numpy as np
import pytest

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.images import check_images
from tfgan_robust.errors import UsageError

SHAPE = (4, 4, 3)
CLASSES = 4


def never_asked(images):
    raise AssertionError


CLASSIFIER = Classifier(never_asked, SHAPE, CLASSES, (), "never asked")


def pictures(count=40):
    images = np.random.default_rng(0).integers(0, 256, (count, *SHAPE))
    return images.astype(np.uint8), np.arange(count) % CLASSES


def refused(images=None, labels=None):
    default = pictures()
    with pytest.raises(UsageError) as error:
        check_images(
            default[0] if images is None else images,
            default[1] if labels is None else labels,
            CLASSIFIER,
        )
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_images_from_0_to_1_pass(dtype):
    images, labels = pictures()
    images = (images / images.max()).astype(dtype)
    assert images.max() == 1
    check_images(images, labels, CLASSIFIER)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_integer_type_pass(dtype):
    images, labels = pictures()
    check_images(images, labels.astype(dtype), CLASSIFIER)
    check_images(images, labels.tolist(), CLASSIFIER)


def test_the_last_image_and_label_are_looked_at_too():
    images, labels = pictures(600)
    labels[-1] = CLASSES
    assert f"0 to {CLASSES}" in refused(images, labels)
    floats = images / np.float32(255)
    floats[-1, 0, 0, 0] = 3
    assert "0 to 3;" in refused(floats, labels)


@pytest.mark.parametrize("shape", [(0, *SHAPE), (0,)])
def test_no_images_are_refused(shape):
    message = refused(np.zeros(shape, np.uint8), np.zeros(0, np.int64))
    assert "no images to measure" in message


@pytest.mark.parametrize(
    ("shape", "hint"),
    [((8, 8, 3), True), ((4, 4, 1), False), ((3, 4, 4), False)],
)
def test_images_of_another_shape_are_refused(shape, hint):
    message = refused(np.zeros((40, *shape), np.uint8))
    assert "takes images of (4, 4, 3)" in message
    assert f"Received: images of {shape}" in message
    assert ("`image_size=4` resizes" in message) == hint
    # The classifier's channels are where they should be.
    assert "Permute" not in message


def test_one_image_without_a_batch_is_refused():
    message = refused(np.zeros(SHAPE, np.uint8), np.zeros(1, np.int64))
    assert "[n, height, width, channels]" in message
    assert "shape (4, 4, 3)" in message


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.bool_])
def test_images_of_other_types_are_refused(dtype):
    message = refused(pictures()[0].astype(dtype))
    assert "uint8, from 0 to 255, or float32, from 0 to 1" in message
    assert f"Received: {np.dtype(dtype).name}" in message


@pytest.mark.parametrize(
    ("convert", "received"),
    [
        (lambda x: x * 255, "from 0 to 255; they look like 0 to 255: divide"),
        (lambda x: 2 * x - 1, "from -1 to 1; undo their normalisation"),
        (lambda x: (x - 0.5) / 0.2, "from -2.5 to 2.5; undo"),
        (lambda x: x * 1.0001, "to 1.0001; cut off what rounding left"),
        (lambda x: x - 1e-4, "from -0.0001"),
        (lambda x: x / x, "Received: NaN in 40 of 40 images"),
    ],
    ids=["bytes", "signed", "standardised", "above", "below", "nan"],
)
def test_floats_outside_0_to_1_are_refused(convert, received):
    images = pictures()[0].astype(np.float64)
    images -= images.min(axis=(1, 2, 3), keepdims=True)
    images /= images.max(axis=(1, 2, 3), keepdims=True)
    with np.errstate(invalid="ignore"):
        assert received in refused(convert(images))


def test_images_that_are_no_array_are_refused():
    message = refused(pictures()[0].tolist())
    assert "np.asarray" in message and "Received: list" in message


@pytest.mark.parametrize(
    ("lowest", "highest"), [(-1, 3), (0, 4), (1, 4), (0, 255)]
)
def test_labels_out_of_range_are_refused(lowest, highest):
    labels = pictures()[1].clip(max(lowest, 0))
    labels[3], labels[4] = lowest, highest
    message = refused(labels=labels)
    assert "knows 4 classes, from 0 to 3" in message
    assert f"labels from {lowest} to {highest}" in message


@pytest.mark.parametrize(
    ("convert", "remedy", "received"),
    [
        (lambda x: x.astype(np.float32), "astype(np.int64)", "float32"),
        (lambda x: x.astype(np.bool_), "astype(np.int64)", "bool"),
        (lambda x: x.astype(np.str_), "astype(np.int64)", "<U"),
        (lambda x: np.eye(CLASSES)[x], "labels.argmax(axis=-1)", "(40, 4)"),
        (lambda x: np.eye(CLASSES, dtype=int)[x], "argmax", "(40, 4)"),
        (lambda x: x[:, None], "labels[:, 0]", "(40, 1)"),
        (lambda x: x[:39], "one label for each", "40 images and 39 labels"),
    ],
)
def test_labels_that_are_no_class_numbers_are_refused(
    convert, remedy, received
):
    message = refused(labels=convert(pictures()[1]))
    assert remedy in message
    assert received in message.partition("Received: ")[2]
