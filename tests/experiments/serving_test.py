"""The two scripts on exports, as their commands, on tiny classifiers."""

import json
import re

import keras
import numpy as np
import pytest
from saved import save_run
from served import shallow_classifier

from experiments import benchmark_serving as benchmark
from experiments import serving_differences as differences
from experiments.peers import serving_runtimes as runtimes

for package in ("onnx", "tf2onnx", "onnxruntime", "openvino", "ai_edge_litert"):
    pytest.importorskip(package, reason="extra `dev`")

QUICK = ["ONNX Runtime"]
RUNTIMES = [QUICK, pytest.param([*runtimes.RUNTIMES], marks=pytest.mark.slow)]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("names", RUNTIMES)
def test_runtimes_are_measured_beside_keras(tmp_path, capsys, names):
    shallow_classifier().save(tmp_path / "mine.keras")
    benchmark.main(
        [
            f"--classifier={tmp_path / 'mine.keras'}", "--batches=1,3",
            "--calls=12", f"--output={tmp_path / 'out.json'}",
            f"--runtimes={','.join(names)}",
        ]
    )  # fmt: skip
    stored = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert stored["device"].startswith("CPU (")
    packages = {runtimes.RUNTIMES[name].package for name in names}
    assert set(stored["versions"]) == {"keras", *packages}
    rows = stored["rows"]
    everyone = [runtimes.KERAS, *names]
    assert [(r["batch"], r["runtime"]) for r in rows] == [
        (batch, name) for batch in (1, 3) for name in everyone
    ]
    assert all(row["calls"] == 12 for row in rows)
    printed = capsys.readouterr().out.splitlines()
    assert stored["device"] in printed[0]
    for line, row in zip(printed[4:], rows, strict=True):
        unit = rows[0 if row["batch"] == 1 else len(everyone)]
        told = cells(line)
        assert told[:2] == [row["runtime"], str(row["batch"])]
        assert told[2] == f"{1000 * row['median']:.3f}"
        assert told[4] == f"{row['median'] / unit['median']:.2f}"


def test_figures_of_calls_are_what_they_say():
    seconds = [0.1] * 90 + [0.5] * 10
    row = benchmark.Row.of("any", 8, seconds)
    assert (row.median, row.percentile_95) == (0.1, 0.5)
    assert row.images_per_second == pytest.approx(800 / 14)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--classifier=absent.keras"], "absent.keras cannot be loaded"),
        (["--run_dir=absent"], "absent"),
        (["--classifier=a", "--batches=0"], "at least 1. Received: 0"),
        (["--classifier=a", "--runtimes=TVM"], "Received: TVM"),
        (["--classifier=a", "--output=no/where"], "Received: no/where"),
    ],
)
def test_bad_flags_end_in_a_line(tmp_path, capsys, flags, told):
    with pytest.raises(SystemExit) as end:
        benchmark.main([f"--output={tmp_path / 'out.json'}", *flags])
    assert end.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", RUNTIMES)
def test_no_export_is_far_from_keras(tmp_path, capsys, names):
    save_run(tmp_path / "run")
    differences.main(
        [
            f"--run_dir={tmp_path / 'run'}", "--eps=0.1", "--num_images=70",
            f"--output={tmp_path / 'out.json'}",
            f"--runtimes={','.join(names)}",
        ]
    )  # fmt: skip
    rows = json.loads((tmp_path / "out.json").read_text("utf-8"))["rows"]
    assert [row["runtime"] for row in rows] == [runtimes.KERAS, *names]
    for row in rows:
        assert set(row["differences"]) == {"1", "7", "64"}
        assert max(row["differences"].values()) < 1e-4
        assert row["other_answers"] == 0
        assert row["fooled"] == rows[0]["fooled"] > 0
    printed = capsys.readouterr().out
    assert "70 test images and as many of FGSM at 0.1" in printed
    assert re.search(rf"\| {names[-1]} +\|", printed)


def test_differences_and_fooled_images_are_counted():
    """Runtimes whose answers are known, of images that are their logits."""
    clean = np.float32([[2, 0], [0, 2], [2, 0], [0, 2]])
    fgsm = np.float32([[0, 2], [0, 2], [2, 0], [2, 0]])
    labels = np.array([0, 1, 0, 1])
    answers = {
        runtimes.KERAS: lambda images: images,
        "near": lambda images: images + np.float32(0.25),
        "other": lambda images: images[:, ::-1],
        # As one that takes its batch for a single image would.
        "alone": lambda images: images + np.float32(len(images) > 1),
    }
    keras_row, near, other, alone = differences.compare(
        answers, clean, fgsm, labels
    )
    assert keras_row.differences == {1: 0, 7: 0, 64: 0}
    assert (keras_row.fooled, keras_row.other_answers) == (2, 0)
    assert near.differences == {1: 0.25, 7: 0.25, 64: 0.25}
    assert (near.fooled, near.other_answers) == (2, 0)
    assert other.differences[64] == 2
    assert (other.fooled, other.other_answers) == (0, 8)
    assert alone.differences == {1: 0, 7: 1, 64: 1}


def test_fgsm_images_lie_on_the_corners_of_the_ball():
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2))
    images = np.full((3, 2, 2, 3), 0.5, np.float32)
    moved = differences.attacked(model, images, np.array([0, 1, 0]), 0.1)
    np.testing.assert_allclose(abs(moved - images), 0.1, atol=1e-6)
