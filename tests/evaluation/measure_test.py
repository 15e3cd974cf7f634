"""Measured accuracies: every image once, every number recorded."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits, linear_weights

from tfgan_robust.attacks.plan import parse_attack
from tfgan_robust.audit.audit import audit_classifier
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.data.splits import Split
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.measure import evaluate_classifier
from tfgan_robust.evaluation.summary import pointwise_rows
from tfgan_robust.reports.numbers import wilson
from tfgan_robust.reports.results import (
    Evaluation,
    Pointwise,
    Result,
    StageResult,
    accuracy_fields,
)

SHAPE = (4, 4, 3)
PIXELS = 48
RADII = (8 / 255, 24 / 255)


def images_and_labels(count=13):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    return Split(images, np.arange(count, dtype=np.int64) % 2)


def classifier(logits_fn=linear_logits):
    return Classifier(logits_fn, SHAPE, 2, (), "linear")


def measure(split=None, *, attacks=("fgsm",), eps=RADII, **settings):
    return evaluate_classifier(
        settings.pop("classifier", classifier()),
        *(split or images_and_labels()),
        attacks=attacks,
        eps=eps,
        **{"batch_size": 4, **settings},
    )


def exact_correct(split, eps):
    """Images correct in the worst corner of the ball."""
    images = split.images.reshape(-1, PIXELS).astype(np.float64) / 255
    towards_wrong = (1 - 2 * split.labels)[:, None] * np.sign(linear_weights())
    corner = np.clip(images + eps * towards_wrong, 0, 1)
    scores = (corner - 0.5) @ linear_weights()
    assert np.abs(scores).min() > 1e-3
    return int(np.count_nonzero((scores > 0) == split.labels))


@pytest.fixture
def rounding():
    """TensorFloat-32 is on; what a network is asked under is noted."""
    config = tf.config.experimental
    assert config.tensor_float_32_execution_enabled()
    found = []

    def logits_fn(images):
        found.append(config.tensor_float_32_execution_enabled())
        return linear_logits(images)

    yield classifier(logits_fn), found
    assert config.tensor_float_32_execution_enabled()


def test_nothing_is_measured_in_rounded_products(rounding):
    network, found = rounding
    measure(classifier=network, attacks=("pgd-2",))
    assert found
    assert not any(found)


@pytest.mark.slow
def test_nothing_is_audited_in_rounded_products(rounding):
    network, found = rounding
    audit_classifier(network, *images_and_labels(), eps=0.1)
    assert found
    assert not any(found)


@pytest.mark.parametrize(
    ("count", "batch_size"), [(1, 4), (4, 4), (13, 1), (13, 4), (13, 50)]
)
def test_counts_every_image_exactly_once(count, batch_size):
    split, attacks = images_and_labels(count), ("fgsm", "pgd-10")
    found = measure(split, attacks=attacks, batch_size=batch_size)
    expected = [("clean", 0.0)]
    expected += [(name, eps) for name in attacks for eps in RADII]
    assert [(r.attack, r.eps) for r in found.results] == expected
    for result in found.results:
        assert result.num_images == count
        assert result.num_correct == exact_correct(split, result.eps)
        assert result.accuracy == result.num_correct / count
    assert found.complete


def test_the_examples_differ_in_what_fools_them():
    correct = [exact_correct(images_and_labels(), eps) for eps in (0, *RADII)]
    assert 13 > correct[0] > correct[1] > correct[2]


def noisy_logits(images):
    """By the last digits of the pixels: the start decides."""
    score = tf.sin(1e4 * tf.reduce_mean(images, axis=[1, 2, 3]))
    return tf.stack([tf.zeros_like(score), score], axis=-1)


def test_a_seed_decides_the_random_starts():
    def correct(seed):
        found = measure(
            images_and_labels(64),
            attacks=("pgd-1",),
            classifier=classifier(noisy_logits),
            seed=seed,
            batch_size=16,
        )
        return [r.num_correct for r in found.results[1:]]

    assert correct(1) == correct(1)
    assert len({tuple(correct(seed)) for seed in range(4)}) > 1


def test_a_result_records_everything_that_it_depends_on():
    plan = parse_attack("pgd-5", num_restarts=2, momentum=0.5)
    found = measure(
        attacks=[plan, "fgsm"], eps=(0.1,), seed=3, jit_compile="false"
    )
    assert (found.classifier, found.seed, found.batch_size) == ("linear", 3, 4)
    assert found.jit_compile is False and found.norm == "linf"
    clean, pgd, fgsm = found.results
    assert (clean.eps, clean.largest_perturbation, clean.stages) == (0, 0, ())
    assert pgd.protocol == "worst"
    assert pgd.largest_perturbation == pytest.approx(0.1, abs=1e-6)
    assert (pgd.accuracy_low, pgd.accuracy_high) == wilson(pgd.num_correct, 13)
    (stage,) = pgd.stages
    assert stage.settings == {
        "num_steps": 5, "loss": "cross_entropy", "step_ratio": 0.5,
        "num_restarts": 2, "momentum": 0.5, "random_start": True,
    }  # fmt: skip
    assert stage.num_images == clean.num_correct
    assert stage.num_correct == pgd.num_correct
    steps = pgd.forward_passes * 13
    assert steps == pytest.approx(stage.forward_passes * stage.num_images)
    # What stays correct is looked at in each iterate of each restart.
    assert steps >= 2 * 6 * pgd.num_correct
    assert pgd.image_steps_per_second == pytest.approx(steps / pgd.seconds)
    (stage,) = fgsm.stages
    assert (stage.settings["num_steps"], stage.settings["step_ratio"]) == (1, 1)
    assert not stage.settings["random_start"]


def test_a_given_step_size_is_used_and_recorded():
    plan = parse_attack("pgd-2", step_size=0.01, random_start=False)
    found = measure(attacks=[plan], eps=(0.1,))
    assert found.results[1].stages[0].settings["step_size"] == 0.01
    assert found.results[1].largest_perturbation == pytest.approx(0.02)


def test_several_step_sizes_are_tried_and_the_weakest_accuracy_counts():
    plan = parse_attack("pgd-2", step_sizes=(0.01, 1.0), random_start=False)
    found = measure(attacks=[plan], eps=RADII[1:])
    small, large = found.results[1].stages
    assert small.num_correct > large.num_correct
    assert large.num_images == small.num_correct
    expected = exact_correct(images_and_labels(), RADII[1])
    assert found.results[1].num_correct == expected


def test_stages_attack_what_those_before_them_left():
    found = measure(attacks=("autoattack-fast",), eps=RADII[1:])
    first, second = found.results[1].stages
    assert first.num_images == found.results[0].num_correct
    assert second.num_images == first.num_correct
    assert second.num_correct == found.results[1].num_correct
    # Two classes: too few for DLR, and only one to aim at.
    assert second.settings["loss"] == "margin"
    assert second.settings["num_targets"] == 1


def test_together_attacks_leave_what_none_of_them_fooled():
    found = measure(attacks=("fgsm", "pgd-3"))
    for row, radius in zip(found.pointwise, RADII, strict=True):
        masks = [m for (_, eps), m in found.masks.items() if eps <= radius]
        count = int(np.logical_and.reduce(masks).sum())
        assert row == Pointwise(
            eps=radius, attacks=("fgsm", "pgd-3"), **accuracy_fields(count, 13)
        )


def test_what_cannot_attack_is_refused_before_anything_is_measured():
    seen = []
    with pytest.raises(UsageError, match="`generators` needs a run"):
        measure(
            attacks=("fgsm", "generators"),
            progress=lambda *now: seen.append(now),
        )
    assert seen == []


def test_what_xla_cannot_compile_is_refused_with_the_remedy():
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Resizing(8, 8, interpolation="bicubic"),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    given = {"attacks": ["fgsm"], "eps": [0.1], "batch_size": 4}
    with pytest.raises(UsageError, match="XLA cannot.*`jit_compile=false`"):
        evaluate_classifier(
            model, *images_and_labels(), jit_compile="true", **given
        )
    evaluate_classifier(
        model, *images_and_labels(), jit_compile="false", **given
    )


def test_what_a_smaller_radius_fooled_stays_fooled():
    def images(*correct):
        return np.array(correct, bool)

    found = {
        ("clean", 0.0): images(1, 1, 1, 1, 0),
        ("a", 0.1): images(0, 1, 1, 1, 0),
        ("b", 0.1): images(1, 1, 1, 1, 1),
        ("a", 0.2): images(1, 0, 1, 1, 0),
    }
    rows = [(row.eps, row.num_correct) for row in pointwise_rows(found)]
    assert rows == [(0.1, 3), (0.2, 2)]


def test_predictions_and_smallest_perturbations_belong_to_the_verdicts():
    split = images_and_labels()
    found = measure(split)
    clean = found.masks["clean", 0.0]
    for eps in RADII:
        fooled = ~found.masks["fgsm", eps]
        predicted = found.predicted["fgsm", eps]
        np.testing.assert_array_equal(predicted != split.labels, fooled)
    assert found.smallest.found
    for index, (size, attack, predicted, image) in found.smallest.found.items():
        assert clean[index] and attack == "fgsm"
        change = np.abs(image - split.images[index] / np.float32(255)).max()
        assert size == pytest.approx(change, abs=1e-6)
        logits = linear_logits(tf.constant(image[np.newaxis])).numpy()
        assert logits.argmax() == predicted != split.labels[index]
        # A little less of it fools no more.
        clean_image = split.images[index] / np.float32(255)
        less = clean_image + 0.99 * (image - clean_image)
        logits = linear_logits(tf.constant(less[np.newaxis])).numpy()
        assert logits.argmax() == split.labels[index]


@pytest.mark.slow
def test_many_classifiers_in_a_loop_raise_no_warning(caplog):
    for number in range(8):
        measure(eps=RADII[:1], seed=number, batch_size=64)
    assert "retracing" not in caplog.text


def test_a_surrogate_adds_rows_of_transferred_attacks():
    other = classifier(lambda images: -linear_logits(images))
    found = measure(attacks=("pgd-2",), eps=RADII[1:], surrogate=other)
    own, moved = found.results[1:]
    assert moved.attack == "transfer-pgd-2"
    # Gradients of the opposite classifier help the classifier.
    assert own.num_correct < moved.num_correct
    with pytest.raises(UsageError, match="Only fgsm and pgd.*square-5"):
        measure(attacks=("square-5",), surrogate=other)


def test_euclidean_attacks_reach_the_closed_form():
    split, eps = images_and_labels(), 0.5
    plan = parse_attack("pgd-20", norm="l2", random_start=False)
    found = measure(split, attacks=[plan], eps=(eps,))
    assert found.norm == found.results[1].norm == "l2"
    scores = (split.images.reshape(-1, PIXELS) / 255 - 0.5) @ linear_weights()
    towards = np.where(split.labels == 1, scores, -scores)
    # The pixel range can only help the classifier.
    safe = towards > eps * np.linalg.norm(linear_weights())
    mask = found.masks["pgd-20", eps]
    assert np.all(mask[safe])
    assert mask.sum() < found.results[0].num_correct


def test_xla_measures_the_same_and_says_so():
    found = measure(jit_compile="true")
    assert found.jit_compile is True
    for result in found.results:
        expected = exact_correct(images_and_labels(), result.eps)
        assert result.num_correct == expected


def test_one_graph_serves_all_radii_and_batches():
    calls = []

    def counted(images):
        calls.append(1)
        return linear_logits(images)

    traced = []
    for radii in ((0.1,), (0.1, 0.2, 0.3)):
        calls.clear()
        measure(
            attacks=("fgsm", "pgd-3"), eps=radii, classifier=classifier(counted)
        )
        traced.append(len(calls))
    assert traced[0] == traced[1] > 0


def test_images_and_classifiers_that_do_not_fit_are_refused():
    def broken(images):
        return linear_logits(images) * np.nan

    with pytest.raises(UsageError, match="NaN"):
        measure(classifier=classifier(broken))
    other = Split(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int64))
    with pytest.raises(
        UsageError, match=r"\(4, 4, 3\).*Received: .*\(8, 8, 3\)"
    ):
        measure(other)


def test_the_largest_radius_is_allowed_as_a_whole_number():
    results = measure(eps=(1,), attacks=("fgsm", "pgd-4")).results
    assert [r.num_correct for r in results[1:]] == [0, 0]


def test_nothing_is_measured_before_all_is_checked():
    told = []
    with pytest.raises(UsageError):
        measure(eps=(0.1, 2), progress=lambda *now: told.append(now))
    assert told == []


def test_progress_is_told_until_everything_is_settled():
    told = []
    found = measure(
        attacks=("fgsm", "autoattack-fast"),
        eps=(0.1,),
        progress=lambda *now: told.append(now),
    )
    for result, stages in zip(found.results, (1, 1, 2), strict=True):
        mine = [now for now in told if now[0] == result.attack]
        done = [now[2] for now in mine]
        assert done == sorted(done) and done[-1] == 13 * stages
        assert {now[3] for now in mine} == {13 * stages}
        assert mine[-1][1] == result.eps
        assert mine[-1][4] == pytest.approx(result.accuracy)


def test_accuracies_are_looked_up_by_attack_and_radius():
    found = measure(eps=(8 / 255,))
    clean, fgsm = found.results
    assert found.accuracy("clean") == clean.accuracy
    for eps in (8 / 255, 0.03137254902):
        assert found.accuracy("fgsm", eps) == fgsm.accuracy != clean.accuracy
    for attack, eps in (("fgsm", 4 / 255), ("pgd-20", 8 / 255), ("fgsm", 0)):
        with pytest.raises(UsageError, match=f"{attack} at eps=.*measured"):
            found.accuracy(attack, eps)


def test_json_holds_all_but_masks_and_images():
    found = measure(attacks=("fgsm", "pgd-2"))
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    fields = {field.name for field in dataclasses.fields(Evaluation)}
    assert stored.keys() == fields - {"masks", "predicted", "smallest"}
    for result, kept in zip(found.results, stored["results"], strict=True):
        stages = tuple(StageResult(**stage) for stage in kept["stages"])
        assert Result(**{**kept, "stages": stages}) == result


def test_the_text_has_the_table_and_says_that_nothing_was_audited():
    text = measure(attacks=("fgsm",), eps=(0.1,)).table()
    assert "| linear     | fgsm              |" in text
    assert text.endswith("audit: not run")


def test_names_are_refused_that_nobody_knows_and_those_given_twice():
    with pytest.raises(UsageError, match="autoattack.*Received: cw"):
        measure(attacks=("cw",))
    with pytest.raises(UsageError, match="once.*fgsm, fgsm"):
        measure(attacks=("fgsm", "fgsm"))
