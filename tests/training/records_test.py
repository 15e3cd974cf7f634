"""metrics.csv, TensorBoard's files, read back."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from tfgan_robust.errors import TfganRobustError
from tfgan_robust.runs.presets import resolve
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


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n",
        "epoch,loss\n1,0.5\n3,0.4\n",
        "epoch,loss\n2,0.5\n1,0.4\n",
        "epoch,loss\nnan,0.5\n",
        "epoch,loss\n1.5,0.5\n",
        "epoch,loss\n1,0.5,7\n",
        f"epoch,loss\n1,{'9' * 200_000}\n",
    ],
    ids=lambda content: content[:30],
)
def test_damaged_rows_are_refused(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content.encode())
    with pytest.raises(TfganRobustError, match="metrics.csv is damaged"):
        MetricsFile(path, 5)


def test_a_file_may_begin_after_the_first_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n3,0.5\n4,0.4\n")
    assert [row["epoch"] for row in MetricsFile(path, 4).rows] == [3, 4]


def test_a_new_run_starts_a_new_file(tmp_path):
    path = tmp_path / "metrics.csv"
    MetricsFile(path, 0).append({"epoch": 1.0})
    started_over = MetricsFile(path, 0)
    assert started_over.rows == []


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


def test_tensorboard_shows_figures_images_and_settings(tmp_path):
    config = resolve({"method": "fgsm", "eps": 0.1})
    images = np.random.default_rng(0).uniform(0.1, 0.9, (8, *SHAPE))
    images = tf.constant(images, tf.float32)
    writer = TensorBoardWriter(tmp_path, config)
    writer.scalars("train", {"loss": 0.5}, 10)
    writer.scalars("train", {"loss": 0.25, "clean_accuracy": 1.0}, 20)
    writer.images(images, [images + 0.1, images - 0.05], 20)
    writer.flush()
    found = events(tmp_path)

    assert found["train/loss"] == [(10, 0.5), (20, 0.25)]
    assert found["train/clean_accuracy"] == [(20, 1.0)]
    ((_, text),) = found["configuration"]
    settings = text.item().decode().strip("`\n")
    assert json.loads(settings) == dataclasses.asdict(config)

    for tag, moved in (("perturbed/0", 0.1), ("perturbed/1", -0.05)):
        ((step, (width, height, png)),) = found[tag]
        assert step == 20
        assert (int(width), int(height)) == (8 * 16, 3 * 16)
        grid = tf.io.decode_png(png).numpy() / 255
        clean, added, perturbed = grid.reshape(3, 16, 8, 16, 3).swapaxes(1, 2)
        np.testing.assert_allclose(clean, images, atol=1 / 255)
        np.testing.assert_allclose(added, 0.5 + 5 * moved, atol=1 / 255)
        np.testing.assert_allclose(perturbed, images + moved, atol=1 / 255)
