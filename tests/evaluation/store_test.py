"""Evaluations on disk: what is kept, and when it is used again."""

import json
import threading

import numpy as np
import pytest
import tensorflow as tf
from cases import slow
from holding import holding
from saved import read_results

from tfgan_robust.attacks.plan import parse_attack
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.measure import evaluate_classifier
from tfgan_robust.evaluation.store import EvaluationStore, locked
from tfgan_robust.identity import fits_digest, of_images, with_digest
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


def measure(
    folder,
    *,
    network=None,
    overwrite=False,
    guides=None,
    conditions=CONDITIONS,
    **changes,
):
    network = network or Counted()
    classifier, data = network.classifier(), images_and_labels()
    settings = {"attacks": ["pgd-20", "apgd-t-10"], "eps": EPS, **changes}
    belongs_to = {
        **classifier.identity,
        **of_images(*data, ()),
        "seed": changes.get("seed", 0),
    }
    store = EvaluationStore(
        folder, conditions, belongs_to, guides=guides, overwrite=overwrite
    )
    network.images = 0
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
    assert "digest" in stored and fits_digest(stored)
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


@pytest.mark.parametrize("after", [25, *slow(3, 60)])
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
    assert again < 400 < first
    assert looks(tmp_path, attacks=["pgd-20"]) == again
    more = looks(tmp_path, eps=(*EPS, 0.2))
    assert again < more < first
    assert again < looks(tmp_path, attacks=["noise"]) < first
    assert looks(tmp_path, overwrite=True) == first


@pytest.mark.slow
def test_a_folder_of_something_else_is_left_alone(tmp_path):
    measure(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    other = Counted()
    other.variable.assign(WEIGHTS + 0.01)
    for changes, named in (
        ({"network": other}, "weights, answers"),
        ({"seed": 1}, "seed"),
    ):
        with pytest.raises(UsageError) as error:
            measure(tmp_path, **changes)
        assert f"something else: different are {named}." in str(error.value)
        assert "another `output`, or `overwrite`" in str(error.value)
        after = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        assert after == before
    found = measure(tmp_path, network=other, overwrite=True)
    assert verdicts(found) == verdicts(measure(tmp_path / "b", network=other))


def test_an_interrupted_evaluation_of_something_else_is_left_alone(tmp_path):
    measure(tmp_path)
    (tmp_path / "results.json").unlink()
    with pytest.raises(UsageError, match="different are seed"):
        measure(tmp_path, seed=1)


def test_an_evaluation_of_an_earlier_version_is_left_alone(tmp_path):
    measure(tmp_path)
    (tmp_path / "progress.npz").unlink()
    path = tmp_path / "results.json"
    stored = json.loads(path.read_text())
    del stored["identity"], stored["digest"]
    path.write_text(json.dumps(stored))
    with pytest.raises(UsageError, match="earlier version, which does not say"):
        measure(tmp_path)


@pytest.mark.parametrize(
    "identity", [7, 0, False, [], "", "x", {}, {"answers": [[10**400]]}]
)
@pytest.mark.parametrize("replaceable", [False, 7])
def test_an_identity_that_is_damaged_proves_nothing(
    tmp_path, identity, replaceable
):
    path = tmp_path / "results.json"
    stored = {"identity": identity, "replaceable": replaceable}
    path.write_text(json.dumps(stored))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="or `overwrite` to replace"):
        EvaluationStore(tmp_path, CONDITIONS, {"answers": [[1.0]]})
    assert path.read_bytes() == before
    EvaluationStore(tmp_path, CONDITIONS, {"a": 1}, overwrite=True)


HOLD_LOCK = """
import sys
from pathlib import Path
from tfgan_robust.evaluation import store

with store.locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_only_one_process_measures_into_a_folder(tmp_path):
    folder = tmp_path / "out"
    with holding(HOLD_LOCK, folder):
        with (
            pytest.raises(UsageError, match="Another process") as error,
            locked(folder),
        ):
            pytest.fail("two processes hold the lock")
        assert str(folder) in str(error.value)
        assert error.value.exit_code == 2
        # Parts of it are measured in folders of their own.
        with locked(folder / "shards" / "1-of-2"):
            pass
    # The lock dies with its holder, however that ends.
    with locked(folder):
        pass


def test_clean_images_alone_are_kept(tmp_path):
    first, again = (looks(tmp_path, attacks=[]) for _ in range(2))
    assert first - again == 40


def test_what_was_measured_elsewhere_is_said_to_be(tmp_path):
    there = {"device": "a GPU", "versions": {"a": "0"}}
    here = {"device": "a CPU", "versions": {"a": "1"}}
    measure(tmp_path, attacks=["fgsm"], conditions=there)
    measure(tmp_path, attacks=["fgsm", "pgd-2"], conditions=here)
    found = read_results(tmp_path)
    assert found["device"] == "a GPU and a CPU"
    assert found["versions"] == {"a": "0 and 1"}
    measure(tmp_path, attacks=["fgsm"], conditions=here, overwrite=True)
    assert read_results(tmp_path)["device"] == "a CPU"


def test_what_was_begun_after_a_replaceable_evaluation_stays(tmp_path):
    """As by a kill before the first attack of another one was measured."""
    one, other = tmp_path / "one", tmp_path / "other"
    given = {**CONDITIONS, "replaceable": True}
    measure(one, attacks=["fgsm"], conditions=given)
    measure(other, attacks=["fgsm"], seed=1)
    begun = (other / "progress.npz").read_bytes()
    (one / "progress.npz").write_bytes(begun)
    with pytest.raises(UsageError, match="something else: different are seed"):
        measure(one, attacks=["fgsm"], conditions=given)
    measure(one, attacks=["fgsm"], seed=1)


@pytest.mark.slow
def test_a_replaceable_evaluation_gives_way(tmp_path):
    measure(tmp_path)
    path = tmp_path / "results.json"
    stored = json.loads(path.read_text())
    # Damage is no consent.
    path.write_text(json.dumps({**stored, "replaceable": True}))
    with pytest.raises(UsageError, match="different are seed"):
        measure(tmp_path, seed=1)
    del stored["digest"]
    path.write_text(json.dumps(with_digest({**stored, "replaceable": True})))
    found = measure(tmp_path, seed=1)
    assert verdicts(found) == verdicts(measure(tmp_path / "b", seed=1))


@pytest.mark.slow
def test_other_settings_of_an_attack_are_another_attack(tmp_path):
    measure(tmp_path)
    plan = parse_attack("pgd-20", num_restarts=2)
    assert looks(tmp_path, attacks=[plan], eps=EPS[:1]) > 400


@pytest.mark.slow
def test_an_attack_belongs_to_the_network_that_it_follows(tmp_path):
    surrogates = []
    for shift in (0.5, 0.7):
        surrogate = Counted()
        surrogate.variable.assign(WEIGHTS + shift)
        surrogates.append(surrogate.classifier())
    first, other = surrogates

    def measured(surrogate, folder=tmp_path):
        return measure(
            folder,
            surrogate=surrogate,
            guides={"surrogate": surrogate.identity},
            attacks=["pgd-20"],
        )

    measured(first)
    found = measured(other)
    assert verdicts(found) == verdicts(measured(other, tmp_path / "alone"))
    # The attack that follows no other network is not run again.
    guides = {"surrogate": first.identity}
    assert looks(tmp_path, attacks=["pgd-20"], guides=guides) < 400


@pytest.mark.slow
def test_a_damaged_file_of_progress_is_worth_nothing(tmp_path):
    first = looks(tmp_path)
    path = tmp_path / "progress.npz"
    for left in (0, 10, 500):
        path.write_bytes(path.read_bytes()[:left])
        assert looks(tmp_path) == first


def test_audits_are_kept_by_their_conditions(tmp_path):
    store = EvaluationStore(tmp_path, CONDITIONS, {"a": 1})
    checks = [Check("noise", "PASS", {"fgsm": 0.5}, "fine")]
    store.save_audit("eps=0.1", checks)
    again = EvaluationStore(tmp_path, CONDITIONS, {"a": 1})
    assert again.load_audit("eps=0.1") == checks
    assert again.load_audit("eps=0.2") is None
