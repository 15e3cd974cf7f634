"""Rows say what was measured, and of what it was."""

import dataclasses

import numpy as np
import pytest
import stored

from experiments import architectures, formulations
from experiments.harness import experiment, study
from tfgan_robust.files import write_json

TRIAL = study.Trial(
    "some/trial-0",
    {"dataset": "digits", "method": "natural"},
    (
        study.Measurement("test", {"attacks": "fgsm"}),
        study.Measurement("autoattack", {"attacks": "pgd-5"}, joins="test"),
        study.Measurement("clean", {"attacks": "clean"}, joins="test"),
        study.Measurement("training", {"split": "training"}),
    ),
    {"formulation": "baseline", "settings by": "paper", "network": "vgg"},
)
SMALL, LARGE = stored.SMALL, stored.LARGE
MEASURED = {
    "test": {("fgsm", SMALL): [0], ("fgsm", LARGE): [0, 1]},
    "autoattack": {("pgd-5", LARGE): [0, 1, 2]},
    "clean": {("clean", 0.0): [0]},
    "training": {},
}


@pytest.fixture
def place(tmp_path):
    """A study in which the trial was trained by other defaults than today's."""
    place = study.Study(tmp_path / "runs", tmp_path / "results")
    kept = place.kept(TRIAL)
    # Of clean images, which cost nothing, there are more.
    images = {"clean": 20}
    for measurement in TRIAL.measurements:
        folder = kept.path / measurement.name
        stored.store(
            folder,
            {("clean", 0.0): [], **MEASURED[measurement.name]},
            labels=np.zeros(images.get(measurement.name, 10), np.int64),
            classes=["0", "1", "2"],
        )
        write_json(folder / "flags.json", dict(measurement.flags))
    write_json(kept.path / "settings.json", dict(TRIAL.settings))
    config = TRIAL.config.replace(batch_size=20)
    write_json(
        kept.config,
        {"settings": dataclasses.asdict(config), "device": "a CPU"},
    )
    lines = "epoch,step,images_per_second\n1.0,10.0,100.0\n"
    kept.metrics.write_text(lines)
    return place


def test_what_joins_a_measurement_shares_its_row(place):
    test, training = experiment.rows_of([TRIAL], place)
    assert [(e["measurement"], e["attack"]) for e in test["accuracy"]] == [
        ("clean", "clean"), ("test", "fgsm"), ("test", "fgsm"),
        ("autoattack", "pgd-5"),
    ]  # fmt: skip
    assert [e["images"] for e in test["accuracy"]] == [20, 10, 10, 10]
    assert experiment.accuracy(test, "pgd-5", LARGE) == 70
    assert experiment.accuracy(test, "clean") == 95
    assert test["measurement"] == "test"
    assert training["measurement"] == "training"
    assert experiment.sweeping([test, training]) == ["fgsm"]
    lines = experiment.flat([test])
    assert [line["measurement"] for line in lines][-1] == "autoattack"
    assert not {"settings", "resolved"} & lines[0].keys()


def test_a_row_says_what_was_trained_whatever_the_defaults_are_now(place):
    row, _ = experiment.rows_of([TRIAL], place)
    assert row["settings"] == TRIAL.settings
    assert TRIAL.config.batch_size != row["resolved"]["batch_size"] == 20
    assert row["training seconds"] == 10 * 20 / 100
    assert row["trained in"] == row["resolved"]["precision"]


def test_attacks_at_one_radius_are_drawn_beside_the_others(place):
    rows = list(experiment.rows_of([TRIAL], place))[:1]
    figure = formulations.draw(rows, None)
    assert {panel.get_title() for panel in figure.axes} == {
        f"fgsm, {words}" for words in formulations.SETTINGS.values()
    }
    (hollow,) = (
        line for line in figure.axes[0].lines if line.get_fillstyle() == "none"
    )
    assert hollow.get_ydata() == [70]
    timed = [{**row, architectures.TIME: 10.0} for row in rows]
    (panel,) = architectures.draw(timed, None).axes
    labels = panel.get_legend_handles_labels()[1]
    assert labels == ["clean", "fgsm, 4/255", "fgsm, 8/255", "pgd-5, 8/255"]


def test_seeds_are_counted_for_each_configuration():
    def row(epochs, seed):
        return {"resolved": {"epochs": epochs, "seed": seed}, "seed": seed}

    assert experiment.seeds_in([row(1, 0)]) == "1 seed"
    assert experiment.seeds_in([row(1, 0), row(2, 1)]) == "1 seed"
    rows = [row(1, 0), row(1, 1), row(1, 2), row(2, 0)]
    assert experiment.seeds_in(rows) == "1 to 3 seeds"
