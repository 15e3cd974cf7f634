"""metrics.csv, TensorBoard's files, read back."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from tfgan_robust.runs.presets import resolve
from tfgan_robust.training import build
from tfgan_robust.training.records import MetricsFile, TensorBoardWriter

SHAPE = (16, 16, 3)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_columns_are_those_of_all_rows(tmp_path):
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, 0)
    metrics.append({"epoch": 1.0, "loss": 0.5})
    metrics.append({"epoch": 2.0, "loss": 0.25, "val_pgd_accuracy": 1 / 3})
    metrics.append({"epoch": 3.0, "loss": 0.125})
    first, second, third = read(path)
    assert list(first) == ["epoch", "loss", "val_pgd_accuracy"]
    assert first["val_pgd_accuracy"] == third["val_pgd_accuracy"] == ""
    assert float(second["val_pgd_accuracy"]) == 1 / 3
    assert metrics.measured == [metrics.rows[1]]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_file_read_again_is_the_same(tmp_path):
    path = tmp_path / "metrics.csv"
    written = MetricsFile(path, 0)
    written.append({"epoch": 1.0, "loss": 0.1 + 0.2})
    written.append({"epoch": 2.0, "loss": 1e-300, "val_pgd_accuracy": 0.5})
    assert MetricsFile(path, 2).rows == written.rows


def test_epochs_after_the_checkpoint_are_dropped(tmp_path):
    path = tmp_path / "metrics.csv"
    killed = MetricsFile(path, 0)
    for epoch in (1.0, 2.0, 3.0):
        killed.append({"epoch": epoch, "loss": epoch})
    resumed = MetricsFile(path, 2)
    resumed.append({"epoch": 3.0, "loss": 30.0})
    assert [row["loss"] for row in read(path)] == ["1.0", "2.0", "30.0"]


def test_a_new_run_starts_a_new_file(tmp_path):
    path = tmp_path / "metrics.csv"
    MetricsFile(path, 0).append({"epoch": 1.0})
    started_over = MetricsFile(path, 0)
    assert started_over.rows == []


@pytest.fixture(
    params=[
        {"formulation": "grad_x", "preset": "paper"},
        {"formulation": "xz"},
        {"method": "fgsm"},
        {"method": "natural"},
    ],
    ids=str,
)
def model(request):
    tiny = {"image_size": 16, "classifier_width": 0.05, "eps": 0.1}
    if "method" not in request.param:
        tiny["generator_width"] = 0.1
    return build.build_model(resolve(tiny, request.param), SHAPE, 10)


@pytest.fixture
def batch():
    generator = np.random.default_rng(0)
    images = generator.random((9, *SHAPE), np.float32)
    return tf.constant(images), tf.constant(np.arange(9))


def events(folder):
    accumulator = event_accumulator.EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        tag: [
            (event.step, tf.make_ndarray(event.tensor_proto))
            for event in accumulator.Tensors(tag)
        ]
        for tag in accumulator.Tags()["tensors"]
    }


def test_tensorboard_shows_figures_images_and_settings(model, batch, tmp_path):
    images, labels = batch
    before = [v.numpy() for v in model.variables]
    writer = TensorBoardWriter(tmp_path, model)
    writer.scalars("train", {"loss": 0.5}, 10)
    writer.scalars("train", {"loss": 0.25, "clean_accuracy": 1.0}, 20)
    writer.images(images, labels, 20)
    writer.flush()
    found = events(tmp_path)

    assert found["train/loss"] == [(10, 0.5), (20, 0.25)]
    assert found["train/clean_accuracy"] == [(20, 1.0)]
    ((_, text),) = found["configuration"]
    settings = text.item().decode().strip("`\n")
    assert json.loads(settings)["eps"] == model.config.eps

    grids = [tag for tag in found if tag.startswith("perturbed/")]
    expected = {"gan": model.config.num_generators, "fgsm": 1, "natural": 0}
    assert len(grids) == expected[model.config.method]
    for tag in grids:
        ((step, (width, height, png)),) = found[tag]
        assert step == 20
        assert (int(width), int(height)) == (8 * 16, 3 * 16)
        assert_grid(tf.io.decode_png(png).numpy() / 255, images, 0.1)

    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def assert_grid(grid, images, eps):
    """Clean images, what was added on grey, and what came of it."""
    clean, added, perturbed = grid.reshape(3, 16, 8, 16, 3).swapaxes(1, 2)
    np.testing.assert_allclose(clean, images[:8], atol=1 / 255)
    moved = perturbed - clean
    assert 0.1 * eps < np.abs(moved).max() <= eps + 2 / 255
    np.testing.assert_allclose((added - 0.5) * 2 * eps, moved, atol=2.5 / 255)
