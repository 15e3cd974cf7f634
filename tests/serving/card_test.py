"""What a card says of the classifiers that come with the experiments."""

from pathlib import Path

import pytest

import tfgan_robust
from tfgan_robust.files import read_json_object
from tfgan_robust.serving.card import model_card

RUNS = Path(tfgan_robust.__file__).parents[1] / "experiments" / "cifar10"
SOURCE = "CIFAR-10 after JPEG compression, tensorflow-datasets 3.0.2"


@pytest.mark.parametrize("run", ["natural", "grad_x", "pgd"])
def test_cards_and_reports_name_images_that_were_compressed(run):
    card = model_card(
        {
            "run": run,
            "training": read_json_object(RUNS / run / "config.json"),
            "robustness": read_json_object(RUNS / run / "results.json"),
            "image_shape": [32, 32, 3],
            "format": "onnx",
            "signatures": ["images"],
            "precision": "float32",
            "classifier_sha256": "0",
        }
    )
    assert f"## Data\n\n{SOURCE}." in card
    assert f"of the split test of {SOURCE}, 2026-" in card
    page = (RUNS / run / "evaluation.md").read_text("utf-8")
    assert f"test of cifar10 ({SOURCE})" in page
    _, *rows = (RUNS / run / "results.csv").read_text("utf-8").splitlines()
    assert rows and all(f"source={SOURCE} split=test" in row for row in rows)
