"""Measured accuracies: every image once, every number recorded."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust import evaluation
from tfgan_robust.attack_plan import parse_attack
from tfgan_robust.attacks.result import AttackResult
from tfgan_robust.classifiers import Classifier
from tfgan_robust.data import Split
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.evaluation import Evaluation, Result, evaluate_classifier

SHAPE = (4, 4, 3)
PIXELS = 48
RADII = (8 / 255, 24 / 255)


def images_and_labels(count=13):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    return Split(images, np.arange(count, dtype=np.int64) % 2)


def weights():
    generator = np.random.default_rng(1)
    signs = generator.choice([-1.0, 1.0], PIXELS)
    return (signs * generator.uniform(0.5, 1.5, PIXELS)).astype(np.float32)


def linear_logits(images):
    flat = tf.reshape(images, [-1, PIXELS]) - 0.5
    score = tf.linalg.matvec(flat, weights())
    return tf.stack([tf.zeros_like(score), score], axis=-1)


def classifier(logits_fn=linear_logits):
    return Classifier(logits_fn, SHAPE, 2, (), "linear")


def measure(split=None, *, attacks=("fgsm",), eps=RADII, **settings):
    return evaluate_classifier(
        settings.pop("classifier", classifier()),
        split or images_and_labels(),
        attacks=[parse_attack(name) for name in attacks],
        eps=eps,
        **{"batch_size": 4, **settings},
    )


def exact_correct(split, eps):
    """Images that the worst corner of the ball leaves right."""
    images = split.images.reshape(-1, PIXELS).astype(np.float64) / 255
    towards_wrong = (1 - 2 * split.labels)[:, None] * np.sign(weights())
    corner = np.clip(images + eps * towards_wrong, 0, 1)
    scores = (corner - 0.5) @ weights()
    assert np.abs(scores).min() > 1e-3
    return int(np.count_nonzero((scores > 0) == split.labels))


@pytest.mark.parametrize("count", [1, 4, 13])
def test_counts_every_image_exactly_once(count):
    split = images_and_labels(count)
    found = measure(split, attacks=("fgsm", "pgd-10"))
    expected = [("clean", 0.0)]
    expected += [(name, eps) for name in ("fgsm", "pgd-10") for eps in RADII]
    assert [(r.attack, r.eps) for r in found.results] == expected
    for result in found.results:
        assert result.num_images == count
        assert result.num_correct == exact_correct(split, result.eps)
        assert result.accuracy == result.num_correct / count
    assert found.complete


def test_padding_is_counted_neither_right_nor_wrong():
    # The last image is the one that padding repeats: all right, all wrong.
    split = images_and_labels(5)
    for label in (0, 1):
        same = Split(split.images[:1].repeat(5, 0), np.full(5, label))
        correct = measure(same, attacks=()).results[0].num_correct
        assert correct == exact_correct(same, 0) in (0, 5)


def test_the_examples_are_neither_all_right_nor_all_wrong():
    correct = [exact_correct(images_and_labels(), eps) for eps in (0, *RADII)]
    assert 13 > correct[0] > correct[1] > correct[2]


@pytest.mark.parametrize("batch_size", [1, 5, 13, 50])
def test_batch_size_changes_no_verdict(batch_size):
    plans = [
        parse_attack("pgd-3", random_start=False, protocol="worst"),
        parse_attack("fgsm"),
    ]

    def verdicts(size):
        found = evaluate_classifier(
            classifier(),
            images_and_labels(),
            attacks=plans,
            eps=RADII,
            batch_size=size,
        )
        return [(r.num_correct, r.largest_perturbation) for r in found.results]

    for one, other in zip(verdicts(batch_size), verdicts(7), strict=True):
        assert one[0] == other[0]
        assert one[1] == pytest.approx(other[1], abs=1e-6)


def noisy_logits(images):
    """Right or wrong by the last digits of a pixel: the start decides."""
    score = tf.sin(1e4 * tf.reduce_mean(images, axis=[1, 2, 3]))
    return tf.stack([tf.zeros_like(score), score], axis=-1)


def test_a_seed_decides_the_random_starts():
    split = images_and_labels(64)

    def correct(seed):
        found = measure(
            split,
            attacks=("pgd-1",),
            classifier=classifier(noisy_logits),
            seed=seed,
            batch_size=16,
        )
        return [r.num_correct for r in found.results[1:]]

    assert correct(1) == correct(1)
    assert len({tuple(correct(seed)) for seed in range(4)}) > 1


def test_each_batch_has_its_own_random_starts(monkeypatch):
    seeds = []

    def fake(logits_fn, images, labels, *, eps, num_steps, step_size, seed,
             **static):  # fmt: skip
        tf.py_function(lambda s: seeds.append(tuple(s.numpy())), [seed], [])
        return AttackResult(images, tf.zeros_like(labels, tf.bool))

    monkeypatch.setattr(evaluation, "pgd", fake)
    measure(attacks=("pgd-2",), eps=(0.1,), seed=9)
    first = seeds[0][1]
    # Apart from the seeds of training, which count from 0.
    assert first >= 2**30
    assert seeds == [(9, first + batch) for batch in range(4)]


def test_a_result_records_everything_that_it_depends_on():
    plan = parse_attack("pgd-5", num_restarts=2, protocol="worst")
    found = evaluate_classifier(
        classifier(),
        images_and_labels(),
        attacks=[plan, parse_attack("fgsm")],
        eps=(0.1,),
        batch_size=4,
        seed=3,
        jit_compile="false",
    )
    assert (found.classifier, found.seed, found.batch_size) == ("linear", 3, 4)
    assert found.jit_compile is False
    clean, pgd, fgsm = found.results
    assert (clean.num_steps, clean.step_size, clean.eps) == (0, 0, 0)
    assert clean.largest_perturbation == 0
    assert (pgd.num_steps, pgd.num_restarts) == (5, 2)
    assert pgd.random_start and pgd.protocol == "worst"
    assert pgd.step_size == pytest.approx(2.5 * 0.1 / 5)
    assert pgd.largest_perturbation == pytest.approx(0.1, abs=1e-6)
    assert pgd.image_steps_per_second == pytest.approx(13 * 10 / pgd.seconds)
    assert (fgsm.num_steps, fgsm.step_size) == (1, 0.1)
    assert not fgsm.random_start


def test_a_given_step_size_is_used_and_recorded():
    plan = parse_attack("pgd-2", step_size=0.01, random_start=False)
    found = evaluate_classifier(
        classifier(), images_and_labels(), attacks=[plan], eps=(0.1,)
    )
    assert found.results[1].step_size == 0.01
    assert found.results[1].largest_perturbation == pytest.approx(0.02)


def test_xla_measures_the_same_and_says_so():
    found = measure(jit_compile="true", eps=RADII[:1])
    assert found.jit_compile is True
    graph = measure(jit_compile="false", eps=RADII[:1])
    assert [r.num_correct for r in found.results] == [
        r.num_correct for r in graph.results
    ]


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


def test_a_classifier_that_answers_nan_has_no_right_image():
    def broken(images):
        return linear_logits(images) * np.nan

    found = measure(
        attacks=("fgsm", "pgd-2"), eps=(0.1,), classifier=classifier(broken)
    )
    assert [r.num_correct for r in found.results] == [0, 0, 0]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda images, eps: images + 1.1 * eps, "largest change"),
        (lambda images, eps: images - tf.reduce_min(images) - 1e-4, "-0.0001"),
        (lambda images, eps: images - tf.reduce_max(images) + 1.0001, "1.0001"),
        (lambda images, eps: images * float("nan"), "nan"),
    ],
    ids=["ball", "below-black", "above-white", "nan"],
)
def test_an_attack_that_leaves_its_bounds_is_an_error(monkeypatch, harm, told):
    def fake(logits_fn, images, labels, *, eps, protocol):
        return AttackResult(harm(images, eps), tf.zeros_like(labels, tf.bool))

    monkeypatch.setattr(evaluation, "fgsm", fake)
    radius = 0.5 if told == "largest change" else 1.0
    with pytest.raises(TfganRobustError, match="fgsm left its bounds") as error:
        measure(eps=(radius,))
    assert error.value.exit_code == 1
    assert told in str(error.value) and f"eps={radius:g}" in str(error.value)


@pytest.mark.parametrize(
    ("split", "told"),
    [
        (images_and_labels(0), "no images"),
        (
            Split(np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int64)),
            r"of \(4, 4, 3\).*Received: images of \(8, 8, 3\)",
        ),
        (
            Split(np.zeros((2, *SHAPE), np.uint8), np.array([0, 2])),
            "knows 2 classes.*2",
        ),
        (
            Split(np.zeros((2, *SHAPE), np.uint8), np.array([0, -1])),
            "knows 2 classes.*-1",
        ),
        (
            Split(np.zeros((2, *SHAPE), np.float32), np.array([0, 1])),
            "uint8.*float32",
        ),
    ],
    ids=["none", "shape", "label-above", "label-below", "float-images"],
)
def test_images_that_do_not_fit_are_refused(split, told):
    with pytest.raises(UsageError, match=told):
        measure(split)


@pytest.mark.parametrize("eps", [0, 0.0, -0.1, 1.5, 8, float("nan")])
def test_radii_outside_the_pixel_scale_are_refused(eps):
    with pytest.raises(UsageError, match=r"in \(0, 1\].*Received: eps="):
        measure(eps=(0.1, eps))


def test_the_largest_radius_is_allowed_as_a_whole_number():
    results = measure(eps=(1,), attacks=("fgsm", "pgd-4")).results
    assert [r.num_correct for r in results[1:]] == [0, 0]


def test_nothing_is_measured_before_all_is_checked():
    told = []
    with pytest.raises(UsageError):
        measure(eps=(0.1, 2), progress=lambda *now: told.append(now))
    assert told == []


def test_progress_is_told_after_every_batch():
    told = []
    found = measure(eps=(0.1,), progress=lambda *now: told.append(now))
    assert [now[:3] for now in told] == [
        (name, eps, done)
        for name, eps in (("clean", 0.0), ("fgsm", 0.1))
        for done in (4, 8, 12, 13)
    ]
    assert all(now[4] == 13 and now[3] <= now[2] for now in told)
    assert told[3][3] == found.results[0].num_correct
    assert told[-1][3] == found.results[1].num_correct


def test_results_are_told_one_by_one_and_survive_an_interruption():
    kept = []

    def interrupt(attack, *_):
        if attack == "pgd-2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(
            attacks=("fgsm", "pgd-2"),
            progress=interrupt,
            on_result=lambda so_far: kept.append(so_far.to_json()),
        )
    assert [len(state["results"]) for state in kept] == [1, 2, 3]
    assert not any(state["complete"] for state in kept)


def evaluation_of(*results):
    made = [
        Result(attack, eps, 1, eps, False, 1, "final", 4, 2, share, eps, 1, 4)
        for attack, eps, share in results
    ]
    return Evaluation("made", made, 0, 4, False)


def test_accuracies_are_looked_up_by_attack_and_radius():
    found = evaluation_of(
        ("clean", 0.0, 0.9), ("fgsm", 8 / 255, 0.5), ("pgd-10", 8 / 255, 0.4)
    )
    assert found.accuracy("clean") == 0.9
    assert found.accuracy("fgsm", 8 / 255) == 0.5
    assert found.accuracy("pgd-10", 0.03137254902) == 0.4
    for attack, eps in (("fgsm", 4 / 255), ("pgd-20", 8 / 255), ("fgsm", 0)):
        with pytest.raises(UsageError, match=f"{attack} at eps=.*measured"):
            found.accuracy(attack, eps)


def test_json_holds_everything():
    found = measure(attacks=("fgsm", "pgd-2"))
    stored = json.loads(json.dumps(found.to_json(), allow_nan=False))
    results = [Result(**result) for result in stored.pop("results")]
    assert Evaluation(results=results, **stored) == found
    assert stored.keys() == {
        field.name for field in dataclasses.fields(Evaluation)
    } - {"results"}
