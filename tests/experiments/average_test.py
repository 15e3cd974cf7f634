"""The average of runs is of their weights, with statistics of its own."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import tfgan_robust as tr
from experiments import average as averaging
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import normalisations
from tfgan_robust.training.checkpoints import save_networks


def identity(count):
    classes = [str(label) for label in range(10)]
    return {
        "number of images": count, "images": "0" * 32, "labels": "0" * 32,
        "class names": classes,
    }  # fmt: skip


def save_run(folder, images=64, **changes):
    """What the end of a training leaves, without training."""
    settings = {
        "dataset": "digits", "image_size": 16, "batch_size": 8,
        "train_images": 64, "classifier_width": 0.05, "generator_width": 0.05,
        "method": "start", "formulation": "x",
    }  # fmt: skip
    config = tr.resolve({**settings, **changes})
    model = tr.build_model(config, (16, 16, 3), 10)
    save_networks(model, folder / "last")
    (folder / "config.json").write_text(
        json.dumps(
            {
                "settings": dataclasses.asdict(config),
                "dataset": {"identity": {"training": identity(images)}},
            }
        )
    )
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [save_run(folder / str(seed), seed=seed) for seed in (0, 1, 2)]


def weights(run):
    network = keras.models.load_model(
        run / "last" / "classifier.keras", compile=False
    )
    moving = {
        id(variable)
        for layer in normalisations(network)
        for variable in (layer.moving_mean, layer.moving_variance)
    }
    learned = [w.numpy() for w in network.weights if id(w) not in moving]
    statistics = [w.numpy() for w in network.weights if id(w) in moving]
    return learned, statistics


@pytest.mark.slow
def test_weights_are_means_and_statistics_are_not(runs, tmp_path):
    output = tmp_path / "mean"
    averaging.average(runs, output)
    found, statistics = weights(output)
    for one, *each in zip(found, *(weights(r)[0] for r in runs), strict=True):
        np.testing.assert_allclose(one, np.mean(each, axis=0), atol=1e-7)
    # Untrained networks have no statistics but 0 and 1.
    assert statistics
    for statistic in statistics:
        assert np.isfinite(statistic).all()
        assert not np.isin(statistic, (0, 1)).all()
    stored = json.loads((output / "config.json").read_text())
    assert [each["seed"] for each in stored["averaged"]] == [0, 1, 2]
    assert stored["settings"]["seed"] == 2
    # It is a run like any other.
    classifier = tr.load_classifier(run_dir=output, checkpoint="last")
    assert classifier.num_classes == 10
    assert (output / "last" / "generator_1.keras").is_file()


@pytest.mark.slow
def test_equal_networks_are_their_own_mean(runs, tmp_path):
    averaging.average([runs[0], runs[0]], tmp_path / "mean")
    ours, _ = weights(tmp_path / "mean")
    for one, other in zip(ours, weights(runs[0])[0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classifier_width": 0.1}, "other shapes"),
        ({"images": 32}, "other images"),
    ],
)
def test_what_does_not_fit_together_is_refused(runs, tmp_path, changes, words):
    other = save_run(tmp_path / "other", **changes)
    with pytest.raises(UsageError, match=words):
        averaging.average([other, runs[0]], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_one_run_has_no_mean(runs, tmp_path):
    with pytest.raises(UsageError, match="at least two runs"):
        averaging.average(runs[:1], tmp_path / "mean")


def test_a_folder_in_use_is_left_alone(runs, tmp_path):
    with pytest.raises(UsageError, match="is in use"):
        averaging.average(runs, runs[0])
