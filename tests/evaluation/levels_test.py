"""Attacked images as files hold them: 256 levels, within the ball."""

import numpy as np
import pytest
from toys import linear_logits, linear_weights

from tfgan_robust.attacks.linf import levels_within
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.evaluation.levels import StoredImages, to_levels
from tfgan_robust.evaluation.measure import evaluate_classifier
from tfgan_robust.evaluation.smallest import SmallestSearch
from tfgan_robust.evaluation.store import EvaluationStore
from tfgan_robust.reports.reading import read_evaluation

SHAPE = (4, 4, 3)
LINEAR = Classifier(linear_logits, SHAPE, 2, (), "linear")


def near_the_border(count=40):
    """Images that a level more or less can turn."""
    generator = np.random.default_rng(0)
    noise = generator.integers(-6, 7, (count, *SHAPE))
    images = (128 + noise).astype(np.uint8)
    return images, np.arange(count, dtype=np.int64) % 2


def correct_within(images, labels, levels):
    """Images correct in the worst corner of so many levels; bool [n]."""
    pixels = images.reshape(len(images), -1).astype(np.float64)
    towards_wrong = (1 - 2 * labels)[:, None] * np.sign(linear_weights())
    corner = np.clip(pixels + levels * towards_wrong, 0, 255) / 255
    return ((corner - 0.5) @ linear_weights() > 0) == labels


@pytest.mark.parametrize(
    ("eps", "levels"),
    [(8 / 255, 8), (1.5 / 255, 1), (0.003, 0), (0.1, 25), (1.0, 255)],
)
def test_a_radius_holds_whole_levels(eps, levels):
    assert levels_within(eps) == levels
    assert levels_within(float(np.float32(eps))) == levels


def test_rounding_keeps_the_ball_and_the_range():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (200, *SHAPE)).astype(np.uint8)
    eps = 2.6 / 255
    attacked = np.clip(
        images / 255 + generator.uniform(-eps, eps, images.shape), 0, 1
    ).astype(np.float32)
    rounded = to_levels(images, attacked, eps)
    assert rounded.dtype == np.uint8
    change = rounded.astype(int) - images
    assert np.abs(change).max() == 2
    # The nearest level, but for what lies beyond the second one.
    nearest = np.round(attacked * 255.0).astype(int) - images
    np.testing.assert_array_equal(change, np.clip(nearest, -2, 2))
    assert set(np.unique(nearest)) == {-3, -2, -1, 0, 1, 2, 3}


def test_images_fooled_between_two_levels_are_correct_as_files():
    images, labels = near_the_border()
    eps = 1.5 / 255
    found = evaluate_classifier(
        LINEAR, images, labels, attacks=["fgsm"], eps=[eps], batch_size=16
    )
    kinds = [correct_within(images, labels, levels) for levels in (0, 1, 1.5)]
    clean, files, floats = (int(mask.sum()) for mask in kinds)
    assert clean > files > floats
    assert found.accuracy("clean") == clean / len(labels)
    assert found.accuracy("fgsm", eps) == floats / len(labels)
    (row,) = found.stored
    assert (row.eps, row.num_correct) == (eps, files)
    assert f"| worst case, 8-bit | {100 * clean / len(labels):.1f}" in (
        " ".join(found.table().split())
    )


def test_what_fools_at_a_smaller_radius_fools_at_a_larger_one():
    images, labels = near_the_border()
    radii = [1 / 255, 2 / 255]
    found = evaluate_classifier(
        LINEAR, images, labels, attacks=["fgsm", "pgd-3"], eps=radii
    )
    for row, worst in zip(found.stored, found.pointwise, strict=True):
        assert row.attacks == ("fgsm", "pgd-3")
        assert row.num_correct >= worst.num_correct
    assert found.stored[0].num_correct > found.stored[1].num_correct


def test_other_norms_and_other_images_have_no_levels():
    images, labels = near_the_border()
    floats = images.astype(np.float32) / 255
    found = evaluate_classifier(
        LINEAR, floats, labels, attacks=["fgsm"], eps=[0.1]
    )
    assert found.stored == []
    assert "8-bit" not in found.table()


def measure_near(store, **settings):
    return evaluate_classifier(
        LINEAR, *near_the_border(), attacks=["fgsm"], eps=[1.5 / 255],
        batch_size=4, store=store, **settings,
    )  # fmt: skip


def store_in(folder):
    conditions = {
        "dataset": {
            "name": "toy", "source": "drawn", "split": "test",
            "classes": ["a", "b"],
        },
        "date": "2026-11-27", "device": "CPU", "versions": {},
    }  # fmt: skip
    return EvaluationStore(folder, conditions, {"weights": "w", "images": "i"})


def test_it_is_kept_over_a_stop(tmp_path):
    def stop(attack, eps, done, total, accuracy):
        if attack != "clean" and done > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_near(store_in(tmp_path), progress=stop)
    resumed = measure_near(store_in(tmp_path))
    whole = measure_near(None)
    assert resumed.stored == whole.stored
    assert read_evaluation(tmp_path).evaluation.stored == whole.stored


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("where", [StoredImages, SmallestSearch])
def test_an_image_that_was_just_judged_is_kept_over_a_stop(
    tmp_path, monkeypatch, where, when
):
    """In the middle of what is noted of it, as a signal may come."""
    add, calls = where.add, []

    def stop(self, *args):
        calls.append(args)
        if len(calls) == 3 and when == "before":
            raise KeyboardInterrupt
        add(self, *args)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(where, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        measure_near(store_in(tmp_path))
    resumed = measure_near(store_in(tmp_path))
    monkeypatch.setattr(where, "add", add)
    whole = measure_near(None)
    assert resumed.stored == whole.stored
    assert resumed.results[1].num_correct == whole.results[1].num_correct
    assert resumed.results[1].forward_passes == whole.results[1].forward_passes
    found, expected = resumed.smallest.found, whole.smallest.found
    assert found.keys() == expected.keys()
    for index in found:
        assert found[index][:3] == expected[index][:3]
        np.testing.assert_array_equal(found[index][3], expected[index][3])
