"""Runs as users start them: finished, stopped, killed, resumed, refused."""

import csv
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cases import slow

from tfgan_robust.files import read_json_object, write_json
from tfgan_robust.runs.directory import RunDirectory

TINY = {
    "dataset": "digits",
    "method": "gan",
    "classifier_width": 0.05,
    # What is fastest here is timed, and may be another one in the next run.
    "precision": "float32",
    "generator_width": 0.1,
    "batch_size": 128,
    "train_images": 640,
    "eval_images": 32,
    "epochs": 3,
    "eval_every": 1,
    "checkpoint_every": 2,
    "keep_every": 2,
    "deterministic": True,
}
TIMINGS = ("images_per_second",)


def command(folder, **changes):
    config = folder.parent / f"{folder.name}.json"
    config.write_text(json.dumps({**TINY, **changes}))
    return [
        sys.executable,
        "-m",
        "tfgan_robust.train",
        f"--config={config}",
        f"--run_dir={folder}",
        "--report_images=0",
    ]


def train(folder, **changes):
    return subprocess.run(
        command(folder, **changes), capture_output=True, text=True
    )


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in TIMINGS}
            for row in csv.DictReader(file)
        ]


def variables(folder):
    """Every number of the newest checkpoint."""
    import tensorflow as tf

    path = tf.train.latest_checkpoint(folder / "checkpoints")
    reader = tf.train.load_checkpoint(path)
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith(("networks", "optimizers"))
    }


def networks(folder):
    """Digests of all that is kept of the networks."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.glob("*/*.keras")
    }


def configurations(folder):
    """How often TensorBoard is told a run's settings."""
    import tensorflow as tf

    return sum(
        value.tag == "configuration"
        for file in (folder / "logs").glob("events.*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    )


def assert_same_run(one, other):
    assert rows(one) == rows(other)
    assert {"best/classifier.keras", "last/classifier.keras"} <= set(
        networks(one)
    )
    assert networks(one) == networks(other)
    assert configurations(one) == configurations(other) == 1
    first, second = variables(one), variables(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def wait_for(condition, process, seconds=600):
    for _ in range(seconds * 10):
        if condition():
            return
        # One that ended comes no further.
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("the run did not come that far")


def newest_step(folder):
    files = (folder / "checkpoints").glob("ckpt-*.index")
    return max((int(f.stem.partition("-")[2]) for f in files), default=-1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = train(folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_leaves_what_the_readme_says(finished):
    folder, done = finished
    for name in (
        "config.json",
        "metrics.csv",
        "alarms.json",
        "best/classifier.keras",
        "best/generator_0.keras",
        "last/classifier.keras",
        "epoch-2/classifier.keras",
        "epoch-2/generator_0.keras",
    ):
        assert (folder / name).is_file(), name
    assert RunDirectory(folder).kept() == ["best", "last", "epoch-2"]
    for group in (".", "train", "validation"):
        assert list((folder / "logs" / group).glob("events.*"))
    stored = json.loads((folder / "config.json").read_text())
    assert stored["settings"]["batch_size"] == 128
    assert stored["dataset"]["num_classes"] == 10
    assert stored["device"].startswith("CPU (")
    assert "tensorflow" in stored["versions"]
    assert "parameters" in done.stdout
    assert "epoch 3/3" in done.stdout
    # Bars are for terminals.
    assert "\r" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == [
        f"the run is in {folder}; see it with tensorboard --logdir {folder}",
        f"next: python -m tfgan_robust.evaluate --run_dir={folder}",
    ]


def test_best_is_chosen_by_validation_pgd(finished):
    folder, _ = finished
    import tensorflow as tf

    path = tf.train.latest_checkpoint(folder / "checkpoints")
    stored = tf.train.load_checkpoint(path)
    progress = json.loads(
        stored.get_tensor("progress/.ATTRIBUTES/VARIABLE_VALUE")
    )
    robust = [float(row["val_pgd_accuracy"]) for row in rows(folder)]
    assert progress["best_score"] == max(robust)
    assert progress["best_epoch"] == 1 + int(np.argmax(robust))


def test_the_same_command_on_a_finished_run_changes_nothing(finished):
    folder, _ = finished
    before = (folder / "metrics.csv").read_bytes()
    assert train(folder).returncode == 0
    assert (folder / "metrics.csv").read_bytes() == before


def test_other_settings_in_the_same_folder_are_refused(finished):
    folder, _ = finished
    refused = train(folder, eps=0.1, epochs=4)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "eps: 0.2 there, 0.1 here" in line
    assert "epochs: 3 there, 4 here" in line


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run that met its end inside its second epoch."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    process = subprocess.Popen(
        command(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        # Five steps an epoch.
        wait_for(lambda: newest_step(folder) >= 6, process)
    finally:
        process.kill()
        process.communicate()
    assert newest_step(folder) < 15
    return folder


def test_killed_in_mid_epoch_and_resumed_bit_for_bit(
    finished, killed, tmp_path
):
    folder = shutil.copytree(killed, tmp_path / "resumed")
    file = RunDirectory(folder).config
    begun = read_json_object(file)
    write_json(file, {**begun, "device": "elsewhere"})
    resumed = train(folder)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming at step" in resumed.stdout
    assert_same_run(finished[0], folder)
    device = read_json_object(file)["device"]
    assert device == f"elsewhere and {begun['device']}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
    ],
)
def test_signals_save_and_exit(finished, tmp_path, number, code):
    folder = tmp_path / "stopped"
    process = subprocess.Popen(
        command(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: newest_step(folder) >= 2, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "goes on from there" in output
    assert train(folder).returncode == 0
    assert_same_run(finished[0], folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        "flipped",
        "no index",
    ],
)
def test_a_damaged_checkpoint_falls_back(finished, killed, tmp_path, damage):
    folder = shutil.copytree(killed, tmp_path / "damaged")
    newest = folder / "checkpoints" / f"ckpt-{newest_step(folder)}"
    weights = newest.with_name(newest.name + ".data-00000-of-00001")
    content = weights.read_bytes()
    if damage == "truncated":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2
        flipped = bytes(255 - b for b in content[middle : middle + 400])
        weights.write_bytes(
            content[:middle] + flipped + content[middle + 400 :]
        )
    else:
        newest.with_name(newest.name + ".index").unlink()
    resumed = train(folder)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(finished[0], folder)


def test_no_readable_checkpoint_is_an_error(killed, tmp_path):
    folder = shutil.copytree(killed, tmp_path / "ruined")
    for file in (folder / "checkpoints").glob("*.data-*"):
        file.write_bytes(b"")
    failed = train(folder)
    assert failed.returncode == 1
    assert "No checkpoint in" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_a_begun_run_without_checkpoints_does_not_start_over(killed, tmp_path):
    folder = shutil.copytree(killed, tmp_path / "emptied")
    rows = (folder / "metrics.csv").read_text()
    for file in (folder / "checkpoints").glob("*.index"):
        file.unlink()
    failed = train(folder)
    assert failed.returncode == 1
    assert "no checkpoint that it could go on from" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (folder / "metrics.csv").read_text() == rows


@pytest.mark.slow
def test_what_lies_beside_checkpoints_is_no_matter(finished, killed, tmp_path):
    folder = shutil.copytree(killed, tmp_path / "littered")
    checkpoints = folder / "checkpoints"
    (checkpoints / "checkpoint").write_bytes(b"\xff\xfe\x00 no text")
    (checkpoints / "ckpt-best.index").touch()
    (checkpoints / "checkpoint.tmp0123").touch()
    (checkpoints / "ckpt-3_temp").mkdir()
    (checkpoints / "ckpt-3_temp" / "part-00000").touch()
    resumed = train(folder)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(finished[0], folder)
    left = {file.name for file in checkpoints.iterdir()}
    assert not {"checkpoint.tmp0123", "ckpt-3_temp"} & left


def flip_a_figure(text):
    header, first, *others = text.splitlines(keepends=True)
    cells = first.split(",")
    cells[2] = str(float(cells[2]) + 0.01)
    return "".join([header, ",".join(cells), *others])


@pytest.mark.parametrize(
    "change",
    [
        *slow(
            lambda text: "a,b\n1,2\n",
            # As one bit does it.
            lambda text: text.replace(
                "val_fgsm_accuracy", "val_fgsm_accurac9", 1
            ),
        ),
        flip_a_figure,
    ],
    ids=["other", "flipped", "another figure"],
)
def test_metrics_that_are_damaged_are_named(killed, tmp_path, change):
    folder = shutil.copytree(killed, tmp_path / "damaged metrics")
    text = (folder / "metrics.csv").read_text()
    (folder / "metrics.csv").write_text(change(text))
    failed = train(folder)
    assert failed.returncode == 1
    assert "metrics.csv is damaged" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_divergence_stops_with_3_and_keeps_the_last_good(tmp_path):
    folder = tmp_path / "diverged"
    failed = train(
        folder,
        classifier_learning_rate=1e30,
        learning_rate_schedule="constant",
        checkpoint_every=1,
    )
    assert failed.returncode == 3
    assert "loss became" in failed.stderr
    assert "Traceback" not in failed.stderr
    stored = variables(folder)
    assert all(np.all(np.isfinite(v)) for v in stored.values())


@pytest.mark.slow
def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    folder = tmp_path / "few"
    refused = train(folder, train_images=64)
    assert refused.returncode == 2
    assert "--batch_size exceeds the 64 training images" in refused.stderr
    assert not folder.exists()


@pytest.mark.slow
def test_two_devices_on_one_cpu(tmp_path):
    folder = tmp_path / "two"
    done = train(folder, num_devices=2, epochs=1, deterministic=False)
    assert done.returncode == 0, done.stderr
    assert "2 logical CPU devices" in done.stdout


@pytest.mark.slow
def test_the_baseline_is_trained_beside(tmp_path):
    folder = tmp_path / "both"
    done = subprocess.run(
        [*command(folder, epochs=1), "--baseline"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    stored = json.loads((folder / "baseline" / "config.json").read_text())
    assert stored["settings"]["method"] == "natural"
    assert stored["settings"]["epochs"] == 1
    assert (folder / "baseline" / "best" / "classifier.keras").is_file()
