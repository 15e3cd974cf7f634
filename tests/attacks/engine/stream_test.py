"""Batches that stay full give the verdicts of batches that do not."""

import dataclasses
import functools
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from cases import slow
from toys import problem_of, run_attack, smooth_network

from tfgan_robust.attacks.apgd import APGD
from tfgan_robust.attacks.engine.slots import Job
from tfgan_robust.attacks.engine.stream import Stream
from tfgan_robust.attacks.fab import FAB
from tfgan_robust.attacks.noise import Noise
from tfgan_robust.attacks.pgd import PGD
from tfgan_robust.attacks.square import Square
from tfgan_robust.errors import TfganRobustError

SHAPE = (5, 5, 2)
CLASSES = 5
COUNT = 21
SEED = 3
EPS = {"linf": 0.015, "l2": 0.06}
ATTACKS = {
    "noise": Noise(),
    "pgd": PGD(5),
    "pgd-final": PGD(5, protocol="final", loss="margin"),
    "pgd-clean-start": PGD(5, random_start=False, momentum=0.9),
    "pgd-l2": PGD(5, norm="l2", loss="dlr"),
    "pgd-targeted": PGD(5, targeted=True),
    "apgd": APGD(9),
    "apgd-targeted": APGD(9, "dlr", targeted=True),
    "fab": FAB(4),
    "square": Square(35),
}


def data(count=COUNT):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    images[:, 0], images[:, -1] = 0, 255
    labels = np.argmax(smooth_network()(images / np.float32(255)), axis=1)
    labels[::7] = (labels[::7] + 1) % CLASSES  # Some are wrong from the start.
    return images, labels, (labels + 2) % CLASSES


def norm_of(attack):
    return getattr(attack, "norm", "linf")


def seeds(name, numbers, attempt=0):
    own = zlib.crc32(name.encode())
    return [(SEED, own, number, attempt) for number in numbers]


@functools.cache
def whole_batch(name, attempt=0):
    """Verdicts of a run on all images at once, none of which makes room."""
    attack, logits_fn = ATTACKS[name], smooth_network()
    images, labels, targets = data()
    problem = problem_of(
        attack,
        images / np.float32(255),
        labels,
        EPS[norm_of(attack)],
        targets=targets,
        seed=seeds(name, range(COUNT), attempt),
    )
    result = tf.function(
        lambda: run_attack(attack, logits_fn, problem), autograph=False
    )()
    changes = (result.images - problem.images).numpy().reshape(COUNT, -1)
    order = np.inf if norm_of(attack) == "linf" else 2
    return (
        result.fooled.numpy(),
        result.predicted.numpy(),
        np.linalg.norm(changes, order, axis=1),
        result.images.numpy(),
    )


def stream_of(name, attack, logits_fn, batch_size, **settings):
    return Stream(
        attack,
        name,
        logits_fn,
        norm=norm_of(attack),
        batch_size=batch_size,
        **{"jit_compile": False, **settings},
    )


def run(stream, numbers, *, retry=lambda done: None, split=None, eps=None):
    images, labels, targets = split or data()
    jobs = [Job(number, 0, int(targets[number])) for number in numbers]
    return stream.run(
        images,
        labels,
        iter(jobs),
        retry,
        eps=EPS[norm_of(stream.attack)] if eps is None else eps,
        seed=SEED,
        expected=len(jobs),
    )


@pytest.mark.parametrize(
    ("name", "batch_size"),
    [
        ("pgd", 1), ("pgd", 64), ("apgd", 64), ("square", 5), ("noise", 5),
        ("pgd-l2", 5), ("fab", 5),
        *slow(
            ("pgd", 5), ("pgd", 8), ("apgd", 1), ("square", 64),
            ("pgd-final", 5), ("pgd-clean-start", 5), ("pgd-targeted", 5),
            ("apgd-targeted", 5),
        ),
    ],
)  # fmt: skip
def test_verdicts_are_those_of_one_whole_batch(name, batch_size):
    fooled, predicted, sizes, images = whole_batch(name)
    assert 2 < np.count_nonzero(fooled) < COUNT - 2
    stream = stream_of(name, ATTACKS[name], smooth_network(), batch_size)
    found = list(run(stream, range(COUNT)))
    assert sorted(done.number for done in found) == list(range(COUNT))
    for done in found:
        assert done.fooled == fooled[done.number]
        np.testing.assert_allclose(done.size, sizes[done.number], atol=1e-6)
        np.testing.assert_allclose(
            done.image, images[done.number], rtol=0, atol=1e-6
        )
        if done.fooled:
            assert done.predicted == predicted[done.number]


@pytest.mark.parametrize("name", ["pgd", "apgd", "square"])
def test_verdicts_depend_on_no_other_image(name):
    fooled, _, sizes, _ = whole_batch(name)
    stream = stream_of(name, ATTACKS[name], smooth_network(), 8)
    for numbers in (range(COUNT - 1, -1, -1), [13], [2, 19, 7, 3, 11, 0]):
        found = {done.number: done for done in run(stream, numbers)}
        assert set(found) == set(numbers)
        for number, done in found.items():
            assert done.fooled == fooled[number]
            np.testing.assert_allclose(done.size, sizes[number], atol=1e-6)


def test_a_seed_and_a_name_decide_what_is_drawn():
    def sizes(name, seed):
        attack = PGD(1, step_size=1e-6)
        stream = stream_of(name, attack, smooth_network(), 8)
        images, labels, _ = data()
        found = stream.run(
            images, labels, (Job(n, 0, 0) for n in range(COUNT)),
            lambda done: None, eps=0.01, seed=seed, expected=COUNT,
        )  # fmt: skip
        images = {done.number: done.image for done in found}
        return np.stack([images[number] for number in range(COUNT)])

    first = sizes("a", 1)
    np.testing.assert_array_equal(first, sizes("a", 1))
    for other in (sizes("a", 2), sizes("b", 1)):
        assert np.all(np.any(first != other, axis=(1, 2, 3)))
    # Images that look the same get noise of their own.
    assert len({image.tobytes() for image in first}) == COUNT


@pytest.mark.parametrize("batch_size", [1, 5])
def test_retries_are_runs_of_their_own(batch_size):
    """Up to three attempts: the first that fools, else the last."""
    runs = [whole_batch("noise", n) for n in range(3)]
    attempts = [0] * COUNT
    asked = []

    def retry(done):
        asked.append(done)
        attempts[done.number] += 1
        attempt = attempts[done.number]
        return Job(done.number, attempt, 0) if attempt < 3 else None

    stream = stream_of("noise", ATTACKS["noise"], smooth_network(), batch_size)
    found = list(run(stream, range(COUNT), retry=retry))
    assert not any(done.fooled for done in asked)
    by_image = [[d for d in found if d.number == n] for n in range(COUNT)]
    for number, done in enumerate(by_image):
        fooled = [bool(run[0][number]) for run in runs]
        expected = fooled[: fooled.index(True) + 1] if any(fooled) else fooled
        assert [d.fooled for d in done] == expected
        for d, (_, _, sizes, images) in zip(done, runs, strict=False):
            np.testing.assert_allclose(d.image, images[number], atol=1e-6)
            np.testing.assert_allclose(d.size, sizes[number], atol=1e-6)
    assert len({len(done) for done in by_image}) > 1


def traced(logits_fn):
    """Notes the batch size of each trace."""
    traces = []

    def tracing(images):
        traces.append(images.shape[0])
        return logits_fn(images)

    return tracing, traces


def counted(logits_fn):
    """Counts the images that are looked at."""
    looked = tf.Variable(0)

    def counting(images):
        looked.assign_add(tf.shape(images)[0])
        return logits_fn(images)

    return counting, looked


def sized(logits_fn):
    """Notes the size of each batch that is looked at."""
    sizes = set()

    def note(size):
        sizes.add(int(size))
        return size

    def sizing(images):
        noted = tf.numpy_function(note, [tf.shape(images)[0]], tf.int32)
        with tf.control_dependencies([noted]):
            return logits_fn(images)

    return sizing, sizes


SIZES_OF_64 = {8, 12, 16, 24, 32, 48, 64}


@pytest.mark.parametrize("name", ["pgd", "fab", "square"])
def test_a_trace_is_for_batches_of_any_size(name):
    sizing, sizes = sized(smooth_network())
    tracing, traces = traced(sizing)
    stream = stream_of(name, ATTACKS[name], tracing, 64)
    for numbers in (range(3), range(COUNT), range(COUNT), [1], range(18)):
        for eps in (0.0, 0.02):
            list(run(stream, numbers, eps=eps))
    assert traces == [None] * ATTACKS[name].passes[0]
    # Sizes of batches are 64, and three and two quarters of a larger one.
    assert {8, 24} <= sizes <= SIZES_OF_64


@pytest.mark.parametrize("name", ["pgd", *slow("square")])
def test_a_classifier_may_want_to_know_how_many_images_there_are(name):
    network = smooth_network()

    def numbered(images):
        count = images.shape[0]
        return tf.stack([network(images)[row] for row in range(count)])

    tracing, traces = traced(numbered)
    stream = stream_of(name, ATTACKS[name], tracing, 64)
    usual = stream_of(name, ATTACKS[name], network, 64)
    for numbers in (range(COUNT), range(18), range(COUNT)):
        for ours, theirs in zip(
            run(stream, numbers), run(usual, numbers), strict=True
        ):
            assert ours[:3] == theirs[:3]
    known = [size for size in traces if size is not None]
    assert 24 in known and set(known) <= SIZES_OF_64
    looks = ATTACKS[name].passes[0]
    assert {known.count(size) for size in set(known)} == {looks}


def test_batches_have_the_size_that_was_asked_for_or_less():
    for batch_size, due in ((6, {6}), (20, {10, 15, 20}), (64, {8, 24})):
        sizing, sizes = sized(smooth_network())
        list(run(stream_of("noise", Noise(), sizing, batch_size), range(COUNT)))
        assert sizes <= due and max(due) in sizes


def staircase(images):
    """Fools once the first pixel is above one half; the gradient is up."""
    pixel = images[:, 0, 0, 0]
    verdict = tf.where(pixel > 0.5, 1.0, -1.0)
    score = pixel + tf.stop_gradient(verdict - pixel)
    return tf.stack([tf.zeros_like(score), score], axis=-1)


def stairs(steps, step_size=0.01):
    """Images that so many steps fool, and no fewer."""
    images = np.full((len(steps), 1, 1, 1), 0.5, np.float32)
    images[:, 0, 0, 0] -= step_size * (np.array(steps) - 0.5)
    labels = np.zeros(len(steps), np.int64)
    return images, labels, labels


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_work_is_exact_and_known_verdicts_are_looked_at_no_more(batch_size):
    steps = np.random.default_rng(0).permutation(np.arange(60) % 30 + 1)
    attack = PGD(20, step_size=0.01, random_start=False)
    counting, looked = counted(staircase)
    stream = stream_of("stairs", attack, counting, batch_size)
    found = list(run(stream, range(60), split=stairs(steps), eps=0.5))
    for done in found:
        needed = steps[done.number]
        assert done.fooled == (needed <= 20)
        # A look at the start, and one after each step.
        assert done.work == min(needed, 20) + 1
        moved = 0.01 * min(needed, 20)
        np.testing.assert_allclose(done.size, moved, atol=1e-5)
    work = sum(done.work for done in found)
    assert work == sum(min(s, 20) + 1 for s in steps)
    # One look too many at most for each image, then an emptying batch.
    assert work <= looked.numpy() <= work + 60 + batch_size * 21
    if batch_size == 1:
        assert looked.numpy() == work


def test_the_last_few_share_a_smaller_batch():
    steps = [1] * 60 + [20] * 4
    attack = PGD(20, step_size=0.01, random_start=False)
    counting, looked = counted(staircase)
    sizing, sizes = sized(counting)
    stream = stream_of("stairs", attack, sizing, 64)
    list(run(stream, range(64), split=stairs(steps), eps=0.5))
    assert sizes == {64, 8}
    # Two looks at all, then nineteen at those who are left and padding.
    assert looked.numpy() <= 2 * 64 + 20 * 8


def test_xla_compiles_one_batch_size():
    tracing, traces = traced(staircase)
    attack = PGD(3, step_size=0.01, random_start=False)
    stream = stream_of("stairs", attack, tracing, 16, jit_compile=True)
    steps = [1, 2, 3, 4, 5] * 7
    for count in (35, 3):
        found = run(stream, range(count), split=stairs(steps), eps=0.5)
        for done in found:
            assert done.fooled == (steps[done.number] <= 3)
            assert done.work == min(steps[done.number], 3) + 1
    assert set(traces) == {16}


def test_jobs_are_taken_as_places_become_free():
    taken = []
    images, labels, _ = data(200)

    def jobs():
        for number in range(200):
            taken.append(number)
            yield Job(number, 0, 0)

    stream = stream_of("noise", Noise(), smooth_network(), 16)
    found = stream.run(
        images, labels, jobs(), lambda done: None,
        eps=0.02, seed=SEED, expected=200,
    )  # fmt: skip
    for finished, _ in enumerate(found, 1):
        # No more than a batch is in the works.
        assert len(taken) < finished + 16


def test_whoever_keeps_an_image_keeps_no_batch():
    stream = stream_of("pgd", PGD(3), smooth_network(), 16)
    for done in run(stream, range(COUNT)):
        base = done.image if done.image.base is None else done.image.base
        assert base.nbytes == done.image.nbytes


def test_uint8_and_its_floats_are_the_same_images():
    images, labels, targets = data()
    floats = images.astype(np.float32) / np.float32(255)
    stream = stream_of("pgd", PGD(3), smooth_network(), 8)
    for a, b in zip(
        run(stream, range(COUNT)),
        run(stream, range(COUNT), split=(floats, labels, targets)),
        strict=True,
    ):
        assert a[:4] == b[:4]
        np.testing.assert_array_equal(a.image, b.image)


def test_nothing_to_do_is_done_at_once():
    tracing, traces = traced(smooth_network())
    assert list(run(stream_of("pgd", PGD(3), tracing, 8), [])) == []
    assert not traces


@dataclasses.dataclass(frozen=True)
class Stray(Noise):
    """An attack that starts where `place` says."""

    place: Any = None

    def start(self, problem):
        return self.place(problem.images)


@pytest.mark.parametrize(
    ("shade", "place", "complaint"),
    [
        (0.5, lambda images: images + 0.011, "largest change 0.011"),
        (0.0, lambda images: images - 0.005, r"pixels in \[-0.005, -0.005"),
        (1.0, lambda images: images + 0.005, r"pixels in \[1.005, 1.005"),
        (0.5, lambda images: images * float("nan"), "nan"),
    ],
    ids=["ball", "below", "above", "nan"],
)
def test_an_attack_that_leaves_its_bounds_is_an_error(shade, place, complaint):
    images = np.full((3, *SHAPE), shade, np.float32)
    labels = np.zeros(3, np.int64)
    stream = stream_of("stray", Stray(place=place), smooth_network(), 8)
    with pytest.raises(TfganRobustError, match=complaint) as error:
        list(run(stream, [1], split=(images, labels, labels), eps=0.01))
    assert "stray left its bounds" in str(error.value)
    assert "eps=0.01" in str(error.value)


def test_the_border_of_the_ball_is_inside():
    images = np.full((3, *SHAPE), 0.5, np.float32)
    labels = np.zeros(3, np.int64)
    stream = stream_of(
        "stray", Stray(place=lambda x: x + 0.01), smooth_network(), 8
    )
    found = list(run(stream, [1], split=(images, labels, labels), eps=0.01))
    np.testing.assert_allclose(found[0].size, 0.01, rtol=1e-5)


def test_nan_logits_fool_and_are_of_no_class():
    def broken(images):
        return smooth_network()(images) * float("nan")

    stream = stream_of("pgd", PGD(3), broken, 8)
    for done in run(stream, range(4)):
        assert done.fooled and done.predicted == -1 and done.work == 1
