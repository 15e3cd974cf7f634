"""Evaluations on disk: what is kept, and when it is used again."""

import json
import threading

import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.attacks.engine.execution import Execution
from tfgan_robust.attacks.plan import parse_attack
from tfgan_robust.classifiers.loading import Classifier
from tfgan_robust.evaluation.measure import evaluate_classifier
from tfgan_robust.evaluation.store import EvaluationStore, fingerprint
from tfgan_robust.reports.results import SCHEMA_VERSION, result_name
from tfgan_robust.reports.verdicts import Check

SHAPE = (4, 4, 3)
EPS = (0.02, 0.1)
WEIGHTS = np.random.default_rng(1).normal(size=(48, 5)).astype(np.float32)
HIDDEN = np.random.default_rng(2).normal(size=(48, 48)).astype(np.float32)
CONDITIONS = {"date": "2026-01-01", "versions": {"a": "1"}}


class Counted:
    """A small network, and how many images it has looked at."""

    def __init__(self):
        self.images = 0
        self._lock = threading.Lock()
        self.variable = tf.Variable(WEIGHTS)

    def logits(self, images):
        tf.py_function(self._count, [tf.shape(images)[0]], [])
        flat = tf.reshape(images, [-1, 48]) - 0.5
        return tf.nn.relu(flat @ HIDDEN) @ self.variable

    def _count(self, number):
        number = int(number)
        # Steps of a loop may overlap.
        with self._lock:
            self.images += number

    def classifier(self):
        return Classifier(self.logits, SHAPE, 5, [self.variable], "small")


def images_and_labels(count=40):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    logits = Counted().logits(tf.constant(images / np.float32(255))).numpy()
    labels = logits.argmax(axis=-1)
    labels[::7] = (labels[::7] + 1) % 5
    return images, labels


def measure(folder, *, network=None, fresh=False, **changes):
    network = network or Counted()
    classifier, data = network.classifier(), images_and_labels()
    settings = {"attacks": ["pgd-20", "apgd-t-10"], "eps": EPS, **changes}
    store = EvaluationStore(
        folder,
        CONDITIONS,
        fingerprint(
            [classifier], *data, Execution(seed=changes.get("seed", 0))
        ),
        fresh=fresh,
    )
    return evaluate_classifier(
        classifier, *data, batch_size=8, store=store, **settings
    )


def verdicts(evaluation):
    return {k: m.tolist() for k, m in evaluation.masks.items()}


def perturbations(evaluation):
    return {
        index: (*parts, image.tolist())
        for index, (*parts, image) in evaluation.smallest.found.items()
    }


def test_the_files_say_what_the_evaluation_says(tmp_path):
    found = measure(tmp_path)
    images, labels = images_and_labels()
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["schema_version"] == SCHEMA_VERSION
    assert stored["complete"] and stored["date"] == "2026-01-01"
    assert [r["num_correct"] for r in stored["results"]] == [
        r.num_correct for r in found.results
    ]
    masks = np.load(tmp_path / "masks.npz")
    np.testing.assert_array_equal(masks["labels"], labels)
    for result in found.results:
        name = result_name(result.attack, result.eps)
        assert masks[name].sum() == result.num_correct
        np.testing.assert_array_equal(
            masks[f"{name}:predicted"] == labels, masks[name]
        )
    smallest = np.load(tmp_path / "smallest.npz")
    assert 0 < len(smallest["index"]) <= 10
    assert np.all(np.diff(smallest["norm"]) >= 0)
    np.testing.assert_array_equal(smallest["clean"], images[smallest["index"]])
    change = np.abs(smallest["attacked"] - smallest["clean"] / np.float32(255))
    np.testing.assert_allclose(
        change.max(axis=(1, 2, 3)), smallest["norm"], atol=1e-6
    )
    np.testing.assert_array_equal(smallest["label"], labels[smallest["index"]])
    assert not np.any(smallest["label"] == smallest["predicted"])


@pytest.mark.parametrize("after", [3, 25, 60])
def test_an_interrupted_evaluation_ends_as_if_it_had_not_been(tmp_path, after):
    whole = measure(tmp_path / "whole")
    told = []

    def interrupt(*now):
        told.append(now)
        if len(told) > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path / "cut", progress=interrupt)
    resumed = measure(tmp_path / "cut")
    assert verdicts(resumed) == verdicts(whole)
    for one, other in zip(resumed.results, whole.results, strict=True):
        assert one.forward_passes == other.forward_passes
        assert one.largest_perturbation == other.largest_perturbation
    assert perturbations(resumed) == perturbations(whole)


def looks(folder, **changes):
    network = Counted()
    measure(folder, network=network, **changes)
    return network.images


def test_what_is_measured_is_not_measured_again(tmp_path):
    first = looks(tmp_path)
    again = looks(tmp_path)
    # The check of the classifier, and the clean images.
    assert again < 200 < first
    assert looks(tmp_path, attacks=["pgd-20"]) == again
    more = looks(tmp_path, eps=(*EPS, 0.2))
    assert again < more < first
    assert again < looks(tmp_path, attacks=["noise"]) < first
    assert looks(tmp_path, fresh=True) == first


def test_other_conditions_use_nothing(tmp_path):
    first = looks(tmp_path)
    assert looks(tmp_path, seed=1) > 200
    assert looks(tmp_path) == first
    other = Counted()
    other.variable.assign(WEIGHTS + 0.01)
    measure(tmp_path, network=other)
    assert other.images > 200
    plan = parse_attack("pgd-20", num_restarts=2)
    assert looks(tmp_path, attacks=[plan], eps=EPS[:1]) > 200


def test_a_damaged_file_of_progress_is_worth_nothing(tmp_path):
    first = looks(tmp_path)
    path = tmp_path / "progress.npz"
    for left in (0, 10, 500):
        path.write_bytes(path.read_bytes()[:left])
        assert looks(tmp_path) == first


def test_audits_are_kept_by_their_conditions(tmp_path):
    store = EvaluationStore(tmp_path, CONDITIONS, "print")
    checks = [Check("noise", "PASS", {"fgsm": 0.5}, "fine")]
    store.save_audit("eps=0.1", checks)
    again = EvaluationStore(tmp_path, CONDITIONS, "print")
    assert again.load_audit("eps=0.1") == checks
    assert again.load_audit("eps=0.2") is None
    other = EvaluationStore(tmp_path, CONDITIONS, "other")
    assert other.load_audit("eps=0.1") is None
