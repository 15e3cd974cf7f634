"""The evaluation's command line: what it takes, writes and refuses."""

import csv
import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tfgan_robust import evaluate
from tfgan_robust.attacks.plan import parse_attack
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.options import (
    EvaluateSettings,
    parse_eps,
    parse_plans,
)
from tfgan_robust.reports.results import SCHEMA_VERSION
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training import records

SHAPE = (16, 16, 3)
QUICK = {
    "attacks": "fgsm,pgd-2",
    "eps": "0.1",
    "num_images": 20,
    "audit": False,
}


def save_classifier(path, classes=10):
    import keras

    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.AveragePooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def save_run(folder, **settings):
    """What a training run leaves, as far as an evaluation reads it."""
    model = save_classifier(folder / "best" / "classifier.keras")
    config = resolve({"dataset": "digits", "image_size": 16}, settings)
    (folder / "config.json").write_text(
        json.dumps({"settings": dataclasses.asdict(config)})
    )
    return model


def options(**given):
    return EvaluateSettings(**{**QUICK, **given})


def command(*flags):
    # Without what conftest.py sets: a shell's user has not set it either.
    quiet = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-m", "tfgan_robust.evaluate", *flags],
        capture_output=True,
        text=True,
        env=quiet,
    )


def results(folder):
    return json.loads((folder / "results.json").read_text())


def stored_audit(folder):
    return results(folder)["audit"]


def correct(model, split):
    answers = model.predict(split.images / np.float32(255), verbose=0)
    return int(np.count_nonzero(answers.argmax(axis=-1) == split.labels))


@pytest.mark.parametrize(
    ("text", "radii"),
    [
        ("4,8,16", (4 / 255, 8 / 255, 16 / 255)),
        ("8/255", (8 / 255,)),
        ("0.1", (0.1,)),
        ("1", (1 / 255,)),
        ("1.0", (1.0,)),
        ("255", (1.0,)),
        (" 8 , 0.5/255,1e-2", (8 / 255, 0.5 / 255, 0.01)),
    ],
)
def test_radii_are_whole_levels_fractions_or_decimals(text, radii):
    assert parse_eps(text) == pytest.approx(radii, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("", "nothing in eps="),
        ("8,", "nothing in eps=8,"),
        ("0", "0"),
        ("256", "256"),
        ("1.5", "1.5"),
        ("-8", "-8"),
        ("8/0", "8/0"),
        ("8/255/2", "8/255/2"),
        ("eight", "eight"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("4;8", "4;8"),
    ],
)
def test_other_radii_are_refused(text, received):
    with pytest.raises(UsageError, match=r"`eps` must list") as error:
        parse_eps(text)
    assert f"Received: {received}" in str(error.value)


def test_attacks_take_the_parameters_of_the_command_line():
    planned = parse_plans(
        options(
            model="m.keras",
            dataset="digits",
            attacks="fgsm, pgd-7",
            step_size=0.01,
            restarts=3,
            momentum=0.5,
            protocol="final",
        )
    )
    assert planned == [
        parse_attack("fgsm", protocol="final"),
        parse_attack(
            "pgd-7",
            step_size=0.01,
            num_restarts=3,
            momentum=0.5,
            protocol="final",
        ),
    ]


MODEL = {"model": "m.keras", "dataset": "digits"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "either --run_dir or --model"),
        ({**MODEL, "run_dir": "r"}, "either --run_dir or --model"),
        ({"model": "m.keras"}, "--model needs --dataset"),
        ({**MODEL, "split": "validation"}, "Only a run has validation images"),
        ({"run_dir": "r", "dataset": "digits"}, "dataset=digits"),
        ({"run_dir": "r", "image_size": 32}, "image_size=32"),
        ({**MODEL, "restarts": 2, "random_start": False}, "restarts=2"),
        ({**MODEL, "restarts": 0}, "restarts"),
        ({**MODEL, "eps": "0"}, "eps=0"),
        ({**MODEL, "attacks": "cw"}, "autoattack.*Received: cw"),
        ({**MODEL, "attacks": ""}, "attacks"),
        ({**MODEL, "attacks": "fgsm,"}, "Received: nothing"),
        ({**MODEL, "attacks": "square", "norm": "l2"}, "L-infinity norm only"),
        ({**MODEL, "step_sizes": "0,1"}, "step_sizes.*0,1"),
        ({**MODEL, "step_sizes": "a"}, "step_sizes.*a"),
        (
            {**MODEL, "step_sizes": "1", "step_size": 0.1},
            "either `step_size`",
        ),
        ({**MODEL, "momentum": -0.1}, "momentum"),
        ({**MODEL, "audit_images": 1}, "audit_images"),
        ({**MODEL, "dataset": "mnist"}, "cifar10, digits, folder.*mnist"),
        ({**MODEL, "outputs": "scores"}, "logits, probabilities.*scores"),
        ({**MODEL, "protocol": "best"}, "final, worst.*best"),
        ({**MODEL, "jit_compile": "yes"}, "auto, true, false.*yes"),
        ({"run_dir": "r", "checkpoint": "first"}, "best, last.*first"),
        ({**MODEL, "num_images": 0}, "num_images"),
        ({**MODEL, "batch_size": 0}, "batch_size"),
        ({**MODEL, "step_size": 0.0}, "step_size"),
        ({**MODEL, "step_size": float("nan")}, "step_size"),
        ({**MODEL, "seed": -1}, "seed"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_before_anything_is_loaded(given, told):
    with pytest.raises(UsageError, match=told):
        EvaluateSettings(**given)


def test_a_missing_model_or_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no model at.*absent.keras"):
        evaluate.evaluate(
            options(model=str(tmp_path / "absent.keras"), dataset="digits")
        )
    with pytest.raises(UsageError, match="no config.json"):
        evaluate.evaluate(options(run_dir=str(tmp_path)))


def test_a_file_in_the_place_of_the_folder_is_refused_at_once(tmp_path):
    save_classifier(tmp_path / "m.keras")
    taken = tmp_path / "notes.txt"
    taken.write_text("mine")
    with pytest.raises(UsageError, match=f"must be a folder.*{taken.name}"):
        evaluate.evaluate(
            options(
                model=str(tmp_path / "m.keras"),
                dataset="digits",
                output=str(taken),
            )
        )
    assert taken.read_text() == "mine"


def test_a_model_of_another_image_size_is_refused_with_the_way_out(tmp_path):
    save_classifier(tmp_path / "m.keras")
    wrong = options(
        model=str(tmp_path / "m.keras"), dataset="digits", image_size=32
    )
    with pytest.raises(UsageError, match="--image_size resizes"):
        evaluate.evaluate(wrong)


def test_a_model_of_too_few_classes_is_refused(tmp_path):
    save_classifier(tmp_path / "m.keras", classes=5)
    with pytest.raises(UsageError, match="knows 5 classes"):
        evaluate.evaluate(
            options(model=str(tmp_path / "m.keras"), dataset="digits")
        )


def test_a_shell_measures_a_keras_file_and_keeps_the_results(tmp_path):
    model = save_classifier(tmp_path / "m.keras")
    folder = tmp_path / "new" / "out"
    done = command(
        f"--model={tmp_path / 'm.keras'}",
        "--dataset=digits",
        "--attacks=fgsm,pgd-2",
        "--eps=0.05,0.1",
        "--num_images=20",
        "--batch_size=8",
        "--seed=5",
        "--audit_images=16",
        f"--output={folder}",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\naudit: " in done.stdout and "finite_differences" in done.stdout
    assert len(stored_audit(folder)) == 12
    assert (folder / "evaluation.md").is_file()
    assert "| classifier | attack     | clean | 0.05" in done.stdout
    assert "seed 5" in done.stdout and "INCOMPLETE" not in done.stdout
    assert str(folder / "results.json") in done.stdout
    stored = results(folder)
    assert stored["complete"] is True
    assert stored["schema_version"] == SCHEMA_VERSION
    assert stored["dataset"]["name"] == "digits"
    assert stored["dataset"]["split"] == "test"
    assert stored["checkpoint"] is None
    assert stored["device"] and stored["versions"]["tensorflow"]
    assert (stored["seed"], stored["batch_size"]) == (5, 8)
    expected = [("clean", 0.0)]
    expected += [(a, e) for a in ("fgsm", "pgd-2") for e in (0.05, 0.1)]
    found = [(r["attack"], r["eps"]) for r in stored["results"]]
    assert found == expected
    assert all(r["num_images"] == 20 for r in stored["results"])
    from tfgan_robust.data.loading import load_test
    from tfgan_robust.data.splits import Split

    _, test = load_test("digits")
    first = Split(test.images[:20], test.labels[:20])
    assert stored["results"][0]["num_correct"] == correct(model, first)
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["attack"], float(r["eps"])) for r in rows] == expected
    assert not list(folder.glob(".partial-*"))


def test_a_shell_sees_one_line_for_a_bad_value(tmp_path):
    done = command("--model=m.keras", "--dataset=digits", "--eps=300")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: `eps` must list") and "300" in line


def test_a_run_is_measured_on_its_test_images_at_the_usual_radii(tmp_path):
    model = save_run(tmp_path)
    found = evaluate.evaluate(
        EvaluateSettings(
            run_dir=str(tmp_path), attacks="fgsm", num_images=30, audit=False
        )
    )
    assert [r.eps for r in found.results] == [0, *DATASETS["digits"].eps]
    from tfgan_robust.data.loading import load_test
    from tfgan_robust.data.splits import Split

    _, test = load_test("digits", image_size=16)
    first = Split(test.images[:30], test.labels[:30])
    assert found.results[0].num_correct == correct(model, first)
    stored = results(tmp_path)
    assert stored["checkpoint"] == "best"
    assert stored["complete"] is True
    assert stored["classifier"] == found.classifier
    assert (tmp_path / "results.csv").is_file()


def test_the_validation_images_are_those_that_the_run_held_out(tmp_path):
    model = save_run(tmp_path, validation_images=40, seed=3)
    found = evaluate.evaluate(
        EvaluateSettings(
            run_dir=str(tmp_path),
            attacks="fgsm",
            eps="0.1",
            split="validation",
            audit=False,
        )
    )
    from tfgan_robust.data.loading import load_training

    _, _, held_out = load_training(
        "digits", image_size=16, validation_images=40, seed=3
    )
    assert found.results[0].num_images == 40
    assert found.results[0].num_correct == correct(model, held_out)
    assert results(tmp_path)["dataset"]["split"] == "validation"


def test_results_go_elsewhere_when_told(tmp_path):
    save_run(tmp_path / "run")
    evaluate.evaluate(
        options(run_dir=str(tmp_path / "run"), output=str(tmp_path / "out"))
    )
    assert results(tmp_path / "out")["results"]
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_model_without_an_output_folder_writes_nothing(tmp_path, capsys):
    save_classifier(tmp_path / "m.keras")
    given = {"model": str(tmp_path / "m.keras"), "dataset": "digits", **QUICK}
    assert evaluate._run(given) == 0
    out = capsys.readouterr().out
    assert "| m.keras" in out and "written to" not in out
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_an_interruption_keeps_what_was_measured_and_goes_on(
    tmp_path, monkeypatch, capsys
):
    save_run(tmp_path)
    tell = records.EvaluationProgress.__call__
    seen = []

    def interrupt(self, attack, eps, done, total, accuracy):
        seen.append((attack, done))
        if attack == "pgd-2" and done > 12:
            raise KeyboardInterrupt

    monkeypatch.setattr(records.EvaluationProgress, "__call__", interrupt)
    given = {**QUICK, "run_dir": str(tmp_path), "batch_size": 4}
    with pytest.raises(KeyboardInterrupt):
        evaluate._run(given)
    assert "same command goes on" in capsys.readouterr().err
    stored = results(tmp_path)
    assert stored["complete"] is False
    assert [r["attack"] for r in stored["results"]] == ["clean", "fgsm"]
    assert "INCOMPLETE" in (tmp_path / "evaluation.md").read_text()
    seen.clear()
    monkeypatch.setattr(
        records.EvaluationProgress,
        "__call__",
        lambda self, *now: seen.append((now[0], now[2])) or tell(self, *now),
    )
    evaluate._run(given)
    # What was settled is told at once, and never measured again.
    assert [now for now in seen if now[0] == "fgsm"] == [("fgsm", 20)]
    assert min(done for attack, done in seen if attack == "pgd-2") > 12
    stored = results(tmp_path)
    assert stored["complete"] is True
    evaluate._run({**given, "output": str(tmp_path / "again")})
    whole = results(tmp_path / "again")
    for one, other in zip(stored["results"], whole["results"], strict=True):
        assert one["num_correct"] == other["num_correct"]
        assert one["forward_passes"] == other["forward_passes"]


def test_more_images_than_there_are_means_all(tmp_path):
    save_run(tmp_path)
    found = evaluate.evaluate(
        options(run_dir=str(tmp_path), attacks="fgsm", num_images=10**6)
    )
    from tfgan_robust.data.loading import load_test

    _, test = load_test("digits")
    assert found.results[0].num_images == len(test.labels)
