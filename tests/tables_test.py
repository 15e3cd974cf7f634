"""Evaluations as people and as programs read them."""

import csv
import dataclasses
import io

import pytest

from tfgan_robust.evaluation import Evaluation, Result
from tfgan_robust.tables import (
    describe_conditions,
    format_eps,
    format_table,
    to_csv,
)


def result(attack, eps, accuracy, **changes):
    steps = {"clean": 0, "fgsm": 1}.get(attack, 10)
    whole = Result(
        attack=attack,
        eps=eps,
        num_steps=steps,
        step_size=eps if steps < 2 else 2.5 * eps / steps,
        random_start=steps > 1,
        num_restarts=1,
        protocol="final",
        num_images=1000,
        num_correct=round(1000 * accuracy),
        accuracy=accuracy,
        largest_perturbation=eps,
        seconds=1.5,
        image_steps_per_second=1000 * steps / 1.5,
    )
    return dataclasses.replace(whole, **changes)


def evaluation(*results, complete=True, seed=7):
    return Evaluation("net", list(results), seed, 128, False, complete)


@pytest.mark.parametrize(
    ("eps", "text"),
    [
        (8 / 255, "8/255"),
        (0.5 / 255, "0.001961"),
        (16 / 255, "16/255"),
        (1 / 255, "1/255"),
        (0.1, "0.1"),
        (0.05, "0.05"),
        (0.2, "0.2"),
        (51 / 255, "0.2"),
        (1.0, "1"),
        (0.1 + 0.2, "0.3"),
        (0.0123456, "0.01235"),
    ],
)
def test_radii_are_written_as_people_write_them(eps, text):
    assert format_eps(eps) == text


def test_a_table_has_a_row_for_each_classifier_and_attack():
    natural = evaluation(
        result("clean", 0.0, 0.95),
        result("fgsm", 8 / 255, 0.204),
        result("fgsm", 16 / 255, 0.1),
        result("pgd-10", 8 / 255, 0.0),
    )
    robust = evaluation(
        result("clean", 0.0, 0.8), result("fgsm", 4 / 255, 0.66666)
    )
    table = format_table({"natural": natural, "grad_x (ours)": robust})
    assert table == "\n".join(
        [
            "| classifier    | attack | clean | 4/255 | 8/255 | 16/255 |",
            "| ------------- | ------ | ----- | ----- | ----- | ------ |",
            "| natural       | fgsm   | 95.0  |       | 20.4  | 10.0   |",
            "| natural       | pgd-10 | 95.0  |       | 0.0   |        |",
            "| grad_x (ours) | fgsm   | 80.0  | 66.7  |       |        |",
        ]
    )


def test_a_table_of_clean_accuracy_alone():
    table = format_table({"net": evaluation(result("clean", 0.0, 0.5))})
    assert table == "\n".join(
        [
            "| classifier | attack | clean |",
            "| ---------- | ------ | ----- |",
            "| net        | none   | 50.0  |",
        ]
    )


def test_conditions_name_what_an_accuracy_depends_on():
    line = describe_conditions(
        evaluation(
            result("clean", 0.0, 0.9),
            result("fgsm", 8 / 255, 0.5),
            result("fgsm", 16 / 255, 0.5),
            result("pgd-10", 8 / 255, 0.4),
            result("pgd-10", 16 / 255, 0.3),
        )
    )
    assert line == (
        "accuracy in % of 1000 images; fgsm: one step of eps; pgd-10: step "
        "0.25 eps, random start, 1 restart, protocol final; seed 7; plain graph"
    )


def test_conditions_tell_of_restarts_protocol_and_clean_starts():
    worst = result(
        "pgd-10", 0.1, 0.4, num_restarts=5, protocol="worst", step_size=0.01
    )
    line = describe_conditions(evaluation(result("clean", 0.0, 0.9), worst))
    assert (
        "pgd-10: step 0.1 eps, random start, 5 restarts, protocol worst" in line
    )
    clean_start = dataclasses.replace(worst, random_start=False, num_restarts=1)
    line = describe_conditions(
        evaluation(result("clean", 0.0, 0.9), clean_start)
    )
    assert "clean start, 1 restart, protocol worst" in line


def test_conditions_say_when_an_evaluation_is_incomplete():
    parts = (result("clean", 0.0, 0.9),)
    assert "INCOMPLETE" in describe_conditions(
        evaluation(*parts, complete=False)
    )
    assert "INCOMPLETE" not in describe_conditions(evaluation(*parts))


def test_csv_holds_every_parameter_without_loss():
    whole = evaluation(
        result("clean", 0.0, 0.9),
        result("pgd-10", 8 / 255, 1 / 3, num_restarts=2, protocol="worst"),
    )
    text = to_csv(whole, {"device": "CPU"})
    assert "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    convert = {"bool": lambda text: text == "True", "int": int,
               "float": float, "str": str}  # fmt: skip
    read = [
        Result(
            **{
                field.name: convert[field.type.__name__](row.pop(field.name))
                for field in dataclasses.fields(Result)
            }
        )
        for row in rows
    ]
    assert read == whole.results
    assert {row["device"] for row in rows} == {"CPU"}
    assert {row["seed"] for row in rows} == {"7"}
