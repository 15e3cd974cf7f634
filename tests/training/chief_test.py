"""What is kept and said of each epoch, in runs whose figures are given."""

import json

import keras
import numpy as np
import pytest

from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.images import training_images
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.chief import Chief
from tfgan_robust.training.session import train_all
from tfgan_robust.training.validation import Validator

TINY = {
    "dataset": "digits", "classifier_width": 1 / 16, "precision": "float32",
    "batch_size": 32, "train_images": 160, "eval_images": 100,
    "eval_every": 1, "keep_every": 1,
}  # fmt: skip


def train(folder, **given):
    run = RunDirectory(folder / "run")
    config = resolve({**TINY, **given})
    assert train_all([(run, config)]) == 0
    return run, config


def weights(run, which):
    return keras.models.load_model(run.classifier(which)).get_weights()


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def scripted(monkeypatch):
    """Takes what each epoch measures from a list."""

    def script(*epochs):
        rest = iter(epochs)

        def measure(validator):
            clean, fgsm, pgd = next(rest)
            return {
                "val_clean_accuracy": clean,
                "val_fgsm_accuracy": fgsm,
                "val_pgd_accuracy": pgd,
                "train_mode_accuracy": 0.5,
                "inference_mode_accuracy": 0.5,
            }

        monkeypatch.setattr(Validator, "measure", measure)

    return script


@pytest.mark.slow
def test_the_best_is_that_of_its_epoch_and_a_fall_is_said(
    scripted, tmp_path, capsys
):
    scripted((0.1, 0.9, 0.9), (0.5, 0.1, 0.1), (0.9, 0.1, 0.1))
    run, _ = train(tmp_path, method="fgsm", epochs=3)
    best = weights(run, "best")
    assert equal(best, weights(run, "epoch-1"))
    assert not equal(best, weights(run, "last"))
    assert equal(weights(run, "last"), weights(run, "epoch-3"))
    first, *_ = json.loads(run.alarms.read_text())
    assert (first["epoch"], first["name"]) == (2, "pgd_collapses")
    assert f"ALARM: {first['message']}" in capsys.readouterr().out


@pytest.mark.slow
def test_without_a_defence_clean_images_choose_and_no_fall_alarms(
    scripted, tmp_path, capsys
):
    scripted((0.1, 0.9, 0.9), (0.9, 0.1, 0.1), (0.5, 0.1, 0.1))
    run, _ = train(tmp_path, method="natural", epochs=3)
    assert equal(weights(run, "best"), weights(run, "epoch-2"))
    assert json.loads(run.alarms.read_text()) == []
    assert "ALARM" not in capsys.readouterr().out


def test_figures_are_means_of_their_own_epoch(scripted, tmp_path, monkeypatch):
    counts = []
    end_epoch = Chief.end_epoch

    def noting(chief, *args, **kwargs):
        counts.append(float(chief._model.trackers["loss"].count))
        end_epoch(chief, *args, **kwargs)

    monkeypatch.setattr(Chief, "end_epoch", noting)
    scripted(*[(0.5, 0.5, 0.5)] * 2)
    train(tmp_path, method="natural", epochs=2)
    assert counts == [160, 160]


@pytest.mark.slow
def test_averages_are_kept_with_statistics_of_their_own(tmp_path):
    run, config = train(
        tmp_path, method="natural", epochs=1, averaging=0.9, max_shift=0
    )
    # All images as often as each other, since none is moved.
    _, training, _ = training_images(config)
    kept = keras.models.load_model(run.classifier("last"))
    seen = training.images / np.float32(255)
    convolved = np.asarray(kept.get_layer("block1_conv1")(seen))
    np.testing.assert_allclose(
        kept.get_layer("block1_conv1_bn").moving_mean,
        convolved.mean((0, 1, 2)),
        rtol=1e-3,
        atol=1e-5,
    )
