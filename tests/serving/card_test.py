"""What a card says of the classifiers that come with the experiments."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from stored import store

import tfgan_robust
from tfgan_robust.files import read_json_object
from tfgan_robust.reports.page import write_report
from tfgan_robust.runs import presets
from tfgan_robust.serving.card import model_card

RUNS = Path(tfgan_robust.__file__).parents[1] / "experiments" / "cifar10"
SOURCE = "CIFAR-10 after JPEG compression, tensorflow-datasets 3.0.2"


UNPROVED = "**NOTE**: stored by an earlier version, it cannot prove to which"


def card_of(run, *, folder=None, dataset=(), settings=None, **measured):
    """Lays out what a run, or the evaluation in another folder, says."""
    training = read_json_object(RUNS / run / "config.json")
    training["dataset"] |= dict(dataset)
    results = read_json_object((folder or RUNS / run) / "results.json")
    return model_card(
        {
            "name": run,
            "training": training | ({"settings": settings} if settings else {}),
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


def told(card):
    """The settings that a card tells, by name."""
    (table, *_) = card.split("## Training\n\n")[1].split("\n\n")
    rows = [row.strip("| ").split("|") for row in table.splitlines()[2:]]
    return {name.strip(): value.strip() for name, value in rows}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("natural", {"method": "natural"}),
        ("pgd", {"method": "pgd", "eps": "16/255"}),
        (
            "grad_x",
            {"method": "gan", "formulation": "grad_x", "eps": "16/255"},
        ),
    ],
)
def test_settings_that_were_never_in_force_are_not_told(run, expected):
    # Old files hold those of all methods, and no network: there was one.
    assert {"formulation", "eps"} <= set(
        read_json_object(RUNS / run / "config.json")["settings"]
    )
    same = {"epochs": "10", "classifier": "vgg", "seed": "0"}
    assert told(card_of(run)) == {**expected, **same}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"method": "natural"}, {}),
        ({"method": "pgd", "eps": "4/255"}, {"eps": "4/255"}),
        ({"method": "gan"}, {"formulation": "grad_x", "eps": "8/255"}),
        (
            {"method": "start", "formulation": "xz"},
            {"formulation": "xz", "eps": "8/255"},
        ),
        *(
            (
                {"method": "start", "start_from": source},
                {"start_from": source, "eps": "8/255"},
            )
            for source in ("noise", "universal", "remembered")
        ),
    ],
)
def test_a_card_tells_what_perturbed_the_training_images(given, expected):
    settings = dataclasses.asdict(presets.resolve(given))
    found = told(card_of("pgd", settings=settings))
    assert found.pop("method") == given["method"]
    for name in ("epochs", "classifier", "seed"):
        assert found.pop(name) == str(settings[name])
    assert found == expected


def test_what_json_writes_otherwise_is_told_alike():
    settings = dataclasses.asdict(presets.resolve({"method": "pgd"}))
    card = card_of(
        "pgd",
        settings={**settings, "eps": "8/255"},
        dataset={"notes": None, "source": None},
    )
    assert told(card)["eps"] == "8/255"
    assert "## Data\n\nNot stated.\n\n## Training" in card


@pytest.fixture
def evaluated(tmp_path):
    """Stores an evaluation of a few images; returns its folder."""

    def evaluated(attacks=("fgsm", "pgd-10"), **changes):
        fooled = {(attack, 8 / 255): {3, 9} for attack in attacks}
        return store(
            tmp_path / "evaluation", {("clean", 0.0): {9}, **fooled},
            labels=np.arange(10) % 3, classes=["a", "b", "c"], **changes,
        )  # fmt: skip

    return evaluated


@pytest.mark.parametrize(
    ("protocol", "said"),
    [("final", "the last iterate of each run decides alone"),
     ("worst", "at every point that the attack tried")],
)  # fmt: skip
def test_a_card_says_which_points_of_an_attack_count(evaluated, protocol, said):
    folder = evaluated(protocol=protocol)
    (page, *_) = write_report(folder)
    (row,) = (
        line
        for line in page.read_text("utf-8").splitlines()
        if line.startswith("| protocol ")
    )
    in_page = row.split("|")[2].strip()
    assert said in in_page
    assert f"pixel scale. Protocol: {in_page}.\n" in card_of(
        "pgd", folder=folder
    )


def test_where_nothing_was_attacked_there_is_no_protocol(evaluated):
    card = card_of("pgd", folder=evaluated(attacks=()))
    assert "| clean" in card and "Protocol" not in card


def test_figures_that_cannot_prove_whose_they_are_say_so(evaluated):
    card = card_of("pgd", folder=evaluated(identity={}))
    before, _, after = card.partition(UNPROVED)
    assert "| clean" in after and "| clean" not in before
    assert UNPROVED not in card_of("pgd", folder=evaluated())
    assert UNPROVED not in card_of("pgd")
