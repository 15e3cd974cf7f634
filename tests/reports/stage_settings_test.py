"""Settings in words, and evaluations of schema_version 2."""

import json
import shutil
from pathlib import Path

import pytest

import tfgan_robust
from tfgan_robust.attacks.plan import parse_attack
from tfgan_robust.reports.reading import read_evaluation
from tfgan_robust.reports.stage_settings import describe, upgraded_stage

CIFAR10 = Path(tfgan_robust.__file__).parents[1] / "experiments" / "cifar10"
EPS = 8 / 255


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, ""),
        ({"num_steps": 1}, "1 step"),
        ({"num_queries": 5000, "rescaled": False},
         "5000 queries, rescaled False"),
        ({"num_restarts": 2, "loss": "dlr", "num_steps": 20, "num_targets": 9},
         "20 steps, dlr, 9 targets, 2 restarts"),
        ({"step_size": EPS / 4}, "step 0.25 eps"),
        ({"step_ratio": 0.025, "momentum": 0.75, "random_start": False},
         "step 0.025 eps, momentum 0.75, clean start"),
        ({"momentum": 0.0, "random_start": True}, "random start"),
    ],
)  # fmt: skip
def test_settings_are_told_in_one_order(settings, text):
    assert describe(settings, EPS) == text


def old_stage(name, **changes):
    return {
        "name": name, "num_images": 3, "num_correct": 2, "num_steps": 100,
        "loss": "dlr", "num_targets": 0, "step_size": 0.0,
        "random_start": True, "num_restarts": 1, "momentum": 0.0,
        "forward_passes": 1.0, "backward_passes": 1.0, "seconds": 2.0,
        **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("fgsm", {"num_steps": 1, "loss": "cross_entropy", "step_size": EPS,
                  "random_start": False}),
        ("noise", {"num_steps": 1, "loss": ""}),
        ("pgd-100-dlr-t", {"num_targets": 9, "step_size": 0.025 * EPS}),
        ("apgd-t", {"num_targets": 9}),
        ("fab-t", {"num_targets": 9, "loss": "", "random_start": False}),
        ("square", {"num_steps": 5000, "loss": "margin"}),
        ("generators", {"num_steps": 1, "loss": ""}),
    ],
)  # fmt: skip
def test_old_stages_become_what_they_would_be_now(name, changes):
    found = upgraded_stage(old_stage(name, **changes), EPS)
    (now,) = parse_attack(name).stages
    assert found.pop("settings") == pytest.approx(now.described)
    assert found == {
        "name": name, "num_images": 3, "num_correct": 2,
        "forward_passes": 1.0, "backward_passes": 1.0, "seconds": 2.0,
    }  # fmt: skip


def test_what_is_unknown_now_keeps_all_it_had():
    settings = upgraded_stage(old_stage("cw"), EPS)["settings"]
    assert settings["loss"] == "dlr" and settings["num_steps"] == 100


def check_reading(folder):
    stored = json.loads((folder / "results.json").read_text("utf-8"))
    found = read_evaluation(folder)
    assert [r.accuracy for r in found.evaluation.results] == [
        r["accuracy"] for r in stored["results"]
    ]
    stages = {s.name: s for r in found.evaluation.results for s in r.stages}
    assert describe(stages["pgd-100"].settings, EPS) == (
        "100 steps, cross_entropy, step 0.025 eps, random start, 1 restart"
    )
    assert stages["square"].settings["num_queries"] == 5000
    return found


@pytest.mark.parametrize("name", ["natural", "pgd", "grad_x"])
def test_the_committed_evaluations_are_read(name):
    check_reading(CIFAR10 / name)


@pytest.mark.parametrize("name", ["natural", "grad_x", "pgd"])
def test_committed_evaluations_say_what_they_belong_to(name):
    identity = read_evaluation(CIFAR10 / name).conditions.identity
    assert identity["number of images"] == 1000


def test_an_evaluation_of_schema_2_is_read(tmp_path):
    old = Path(__file__).with_name("schema_2.json")
    shutil.copy(old, tmp_path / "results.json")
    assert check_reading(tmp_path).conditions.identity is None
