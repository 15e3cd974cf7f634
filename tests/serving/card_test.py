"""What a card says of the classifiers that come with the experiments."""

from pathlib import Path

import pytest

import tfgan_robust
from tfgan_robust.files import read_json_object
from tfgan_robust.serving.card import model_card

RUNS = Path(tfgan_robust.__file__).parents[1] / "experiments" / "cifar10"
SOURCE = "CIFAR-10 after JPEG compression, tensorflow-datasets 3.0.2"


def card_of(run, **measured):
    results = read_json_object(RUNS / run / "results.json")
    return model_card(
        {
            "run": run,
            "training": read_json_object(RUNS / run / "config.json"),
            "robustness": {**results, **measured},
            "image_shape": [32, 32, 3],
            "format": "onnx",
            "signatures": ["images"],
            "precision": "float32",
            "classifier_sha256": "0",
        }
    )


def test_a_card_names_the_ball_and_what_was_interrupted():
    whole = card_of("pgd")
    assert "at most eps: L-infinity, on the [0, 1] pixel scale." in whole
    assert "INCOMPLETE" not in whole
    rows = read_json_object(RUNS / "pgd" / "results.json")["results"]
    rows = [{**row, "norm": "l2"} for row in rows]
    other = card_of("pgd", norm="l2", results=rows, complete=False)
    assert "at most eps: Euclidean." in other
    assert "**INCOMPLETE**: this evaluation was interrupted" in other


@pytest.mark.parametrize("run", ["natural", "grad_x", "pgd"])
def test_cards_and_reports_name_images_that_were_compressed(run):
    card = card_of(run)
    assert f"## Data\n\n{SOURCE}." in card
    assert f"of the split test of {SOURCE}, 2026-" in card
    page = (RUNS / run / "evaluation.md").read_text("utf-8")
    assert f"test of cifar10 ({SOURCE})" in page
    _, *rows = (RUNS / run / "results.csv").read_text("utf-8").splitlines()
    assert rows and all(f"source={SOURCE} split=test" in row for row in rows)
