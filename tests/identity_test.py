"""Identities tell apart what differs, and nothing else."""

import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.identity import (
    all_of,
    differences,
    exactly,
    image_digests,
    of_code,
    of_images,
    of_network,
    of_settings,
    probes,
)

SHAPE = (4, 4, 3)
layers = keras.layers


def data(seed=0, count=20):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    return images, generator.integers(0, 3, count), ("a", "b", "c")


def changed(images, labels, names):
    """Every way in which data may be others, and what is said of it."""
    one = images.copy()
    one[7, 1, 2, 0] ^= 1
    label = labels.copy()
    label[3] = (label[3] + 1) % 3
    swapped = np.roll(np.arange(len(labels)), 1)
    yield (one, labels, names), {"images"}
    yield (images, label, names), {"labels"}
    yield (images, labels, ("a", "c", "b")), {"class names"}
    yield (images[swapped], labels[swapped], names), {"images", "labels"}
    yield (
        (images[:-1], labels[:-1], names),
        {"number of images", "images", "labels"},
    )
    # The same numbers in the memory.
    yield (images.reshape(-1, 2, 8, 3), labels, names), {"images"}
    yield (images.view(np.int8), labels, names), {"images"}


@pytest.mark.parametrize("seed", range(5))
def test_any_change_of_data_is_named(seed):
    given = data(seed)
    identity = of_images(*given)
    assert differences(identity, of_images(*given)) == []
    for other, named in changed(*given):
        found = set(differences(identity, of_images(*other)))
        assert named <= found <= named | {"labels"}


def test_types_of_labels_and_layouts_in_memory_do_not_matter():
    images, labels, names = data()
    identity = of_images(images, labels.astype(np.int64), names)
    assert identity == of_images(images, labels.astype(np.int32), names)
    assert identity == of_images(np.asfortranarray(images), labels, list(names))


def test_equal_images_have_equal_digests():
    images, *_ = data()
    digests = image_digests(np.concatenate([images, images[::-1]]))
    assert digests[:20] == digests[:19:-1]
    assert len(set(digests)) == 20


def model(pooling=layers.AveragePooling2D, scale=1.0, activation="relu"):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(scale),
            layers.Conv2D(4, 3, activation=activation),
            pooling(2),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def identity(network):
    return Classifier.from_keras(network).identity


@pytest.mark.parametrize(
    "other",
    [
        {"pooling": layers.MaxPooling2D},
        {"scale": 0.3},
        {"activation": "tanh"},
    ],
)
def test_changes_without_weights_are_other_networks(other):
    there, here = identity(model()), identity(model(**other))
    assert there["weights"] == here["weights"]
    assert differences(there, here) == ["structure", "answers"]


def test_other_weights_are_another_network():
    network = model()
    network.layers[-1].bias.assign([0, 0, 1e-3])
    found = differences(identity(model()), identity(network))
    assert "weights" in found and "structure" not in found


def test_names_files_and_precision_do_not_matter(tmp_path):
    expected = identity(model())
    for _ in range(2):
        # Keras counts on: other names of the same layers.
        assert identity(model()) == expected
    model().save(tmp_path / "m.keras")
    loaded = load_classifier(model=tmp_path / "m.keras").identity
    assert differences(expected, loaded) == []
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = model()
    finally:
        keras.config.set_dtype_policy("float32")
    assert differences(expected, identity(mixed)) == []


def test_where_dropout_draws_from_does_not_matter(tmp_path):
    network = keras.Sequential([model(), layers.Dropout(0.5)])
    network.save(tmp_path / "m.keras")
    loaded = [load_classifier(model=tmp_path / "m.keras") for _ in range(2)]
    drawn = [int(found.variables[-1].numpy()[0]) for found in loaded]
    assert drawn[0] != drawn[1]
    assert differences(*(found.identity for found in loaded)) == []


class Custom(keras.Model):
    """What it computes is known to its code alone."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.dense = factor, layers.Dense(3)

    def call(self, images):
        return self.factor * self.dense(tf.reshape(images, [-1, 48]))


def test_other_code_is_told_by_its_answers():
    networks = []
    for factor in (1.0, 1.0, 1.1):
        keras.utils.set_random_seed(1)
        network = Custom(factor)
        network(probes(SHAPE))
        networks.append(identity(network))
    assert differences(*networks[:2]) == []
    assert differences(networks[0], networks[2]) == ["answers"]


def test_rounding_is_no_difference():
    network = identity(model())
    answers = np.array(network["answers"])
    near = {**network, "answers": (answers * (1 + 1e-5)).tolist()}
    far = {**network, "answers": (answers * 1.01).tolist()}
    assert differences(network, near) == []
    assert differences(network, far) == ["answers"]


def test_answers_that_are_no_numbers_are_kept_and_compared():
    answers = np.array([[1.0, np.nan, np.inf], [2.0, -np.inf, 0.5]])
    kept = json.loads(json.dumps(of_network(b"", [], answers), allow_nan=False))
    assert differences(kept, of_network(b"", [], answers)) == []
    for place, other in (((0, 1), 0.0), ((0, 2), -np.inf), ((1, 2), 0.6)):
        changed = answers.copy()
        changed[place] = other
        found = of_network(b"", [], changed)
        assert differences(kept, found) == ["answers"]


def test_what_is_the_same_on_every_machine_has_no_answers():
    network = identity(model())
    found = exactly({"surrogate": network, "0": {"answers": [], "a": 1}})
    assert found["surrogate"].keys() == {"structure", "weights"}
    assert found["0"] == {"a": 1}


def test_values_are_named_once_each():
    assert all_of(["a", "a"]) == "a"
    assert all_of(["a and b", "b", "c"]) == "a and b and c"


def test_random_answers_tell_nothing():
    keras.utils.set_random_seed(1)
    dense = layers.Dense(3)

    def noisy(images):
        logits = dense(tf.reshape(images, [-1, 48]))
        return logits + tf.random.normal(tf.shape(logits))

    noisy(probes(SHAPE))
    classifier = Classifier(noisy, SHAPE, 3, dense.variables, "noisy")
    again = Classifier(noisy, SHAPE, 3, dense.variables, "noisy")
    assert differences(classifier.identity, again.identity) == []


def test_absent_parts_differ():
    assert differences({}, {"a": 1}) == ["a"]
    assert differences({"a": 1}, {}) == ["a"]
    assert of_settings({"a": 1, "b": 2}) == of_settings({"b": 2, "a": 1})
    assert of_settings({"a": 1}) != of_settings({"a": 2})


def test_code_of_ones_own_is_known_by_its_files(tmp_path, monkeypatch):
    assert of_code(["tfgan_robust.audit.strength:noise", None]) == {}
    assert of_code([of_code]) == {}
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "an_attack_of_mine.py"
    file.write_text("class Mine:\n    step = 1\n")
    place = "an_attack_of_mine:Mine"
    before = of_code([place])
    assert list(before) == ["an_attack_of_mine"]
    mine = sys.modules["an_attack_of_mine"].Mine
    assert of_code([mine, place]) == before
    file.write_text("class Mine:\n    step = 2\n")
    assert of_code([mine]) != before
