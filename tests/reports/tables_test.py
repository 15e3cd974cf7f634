"""Evaluations as people and as programs read them."""

import csv
import dataclasses
import io

from stored import make_result, make_stage

from tfgan_robust.reports.results import (
    Evaluation,
    Pointwise,
    Result,
)
from tfgan_robust.reports.tables import (
    audit_line,
    describe_conditions,
    format_report,
    format_table,
    to_csv,
)
from tfgan_robust.reports.verdicts import Check


def result(attack, eps, accuracy, *, protocol="final", **settings):
    made = make_result(
        attack, eps, round(1000 * accuracy), 1000, accuracy=accuracy,
        protocol=protocol,
    )  # fmt: skip
    if settings:
        stage = make_stage(attack, **settings)
        made = dataclasses.replace(made, stages=(stage,))
    return made


def evaluation(*results, complete=True, seed=7, pointwise=()):
    return Evaluation(
        "net", 1000, seed, 128, False, "linf", list(results), list(pointwise),
        complete=complete,
    )  # fmt: skip


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
            "| classifier    | attack     | clean | 4/255 | 8/255 | 16/255 |",
            "| ------------- | ---------- | ----- | ----- | ----- | ------ |",
            "| natural       | fgsm       | 95.0  |       | 20.4  | 10.0   |",
            "| natural       | pgd-10     | 95.0  |       | 0.0   |        |",
            "| natural       | worst case | 95.0  |       |       |        |",
            "| grad_x (ours) | fgsm       | 80.0  | 66.7  |       |        |",
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
        "accuracy in % of 1000 images; fgsm: 1 step, cross_entropy, step 1 "
        "eps, clean start, 1 restart, protocol final; pgd-10: 10 steps, "
        "cross_entropy, step 0.1 eps, random start, 1 restart, protocol "
        "final; seed 7; plain graph"
    )


def test_conditions_tell_of_everything_that_was_chosen():
    chosen = {"num_restarts": 5, "step_ratio": 0.1, "momentum": 0.75}
    worst = result(
        "pgd-10", 0.1, 0.4, protocol="worst", num_targets=9, **chosen
    )
    line = describe_conditions(evaluation(result("clean", 0.0, 0.9), worst))
    assert (
        "pgd-10: 10 steps, cross_entropy, 9 targets, step 0.1 eps, momentum "
        "0.75, random start, 5 restarts, protocol worst"
    ) in line
    clean_start = result("pgd-10", 0.1, 0.4, random_start=False, reach="far")
    line = describe_conditions(
        evaluation(result("clean", 0.0, 0.9), clean_start)
    )
    assert "clean start, 1 restart, reach far, protocol final" in line


def test_a_table_ends_with_the_worst_case_of_several_attacks():
    row = Pointwise(
        eps=0.1, attacks=("fgsm", "pgd-10"), num_images=1000, num_correct=333,
        accuracy=0.333, accuracy_low=0.3, accuracy_high=0.4,
    )  # fmt: skip
    clean = result("clean", 0.0, 0.5)
    attacked = [result("fgsm", 0.1, 0.4), result("pgd-10", 0.1, 0.35)]
    table = format_table({"net": evaluation(clean, *attacked, pointwise=[row])})
    assert (
        table.splitlines()[-1] == "| net        | worst case | 50.0  | 33.3 |"
    )
    alone = evaluation(clean, attacked[0], pointwise=[row])
    assert "worst case" not in format_table({"net": alone})
    rounded = dataclasses.replace(alone, stored=[row])
    lines = format_table({"net": rounded}).splitlines()
    assert [line.split(" | ")[1].strip() for line in lines[2:]] == [
        "fgsm", "worst case, 8-bit",
    ]  # fmt: skip


def test_no_report_goes_without_its_audit():
    clean = result("clean", 0.0, 0.5)
    assert format_report({"net": evaluation(clean)}).endswith("audit: not run")
    checks = [
        Check("noise", "PASS", {}, ""),
        Check("square", "FAIL", {}, ""),
        Check("transfer", "WARN", {}, "not checked, give `undefended`"),
    ]
    audited = dataclasses.replace(evaluation(clean), audit=checks)
    line = "audit: FAIL (1 FAIL, 1 WARN, 1 PASS): square; not checked transfer"
    assert audit_line(checks) == line
    alone = "audit: WARN (1 WARN, 1 PASS): not checked transfer"
    assert audit_line([checks[0], checks[2]]) == alone
    text = format_report({"a": audited, "b": evaluation(clean)})
    assert text.splitlines()[-2:] == [f"a: {line}", "b: audit: not run"]


def test_what_was_not_checked_stands_in_the_first_line():
    clean = result("clean", 0.0, 0.5)
    checks = [
        Check("noise", "PASS", {}, ""),
        Check("transfer", "WARN", {}, "not checked: no other network"),
        Check("reloaded", "PASS", {}, "not checked: no file"),
    ]
    audited = dataclasses.replace(evaluation(clean), audit=checks)
    note = "NOTE: the audit did not check transfer, reloaded"
    first, *_, last = format_report({"net": audited}).splitlines()
    assert first == note
    assert last.endswith("1 not checked): not checked transfer, reloaded")
    both = {"a": evaluation(clean), "b": audited}
    assert format_report(both).splitlines()[0] == f"b: {note}"
    whole = dataclasses.replace(audited, audit=checks[:1])
    assert "NOTE" not in format_report({"net": whole})


def test_conditions_say_when_an_evaluation_is_incomplete():
    parts = (result("clean", 0.0, 0.9),)
    assert "INCOMPLETE" in describe_conditions(
        evaluation(*parts, complete=False)
    )
    assert "INCOMPLETE" not in describe_conditions(evaluation(*parts))


def test_csv_holds_every_figure_without_loss():
    whole = evaluation(
        result("clean", 0.0, 0.9),
        result("pgd-10", 8 / 255, 1 / 3, num_restarts=2, protocol="worst"),
    )
    text = to_csv(whole, {"device": "CPU"})
    assert "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    convert = {"int": int, "float": float, "str": str}
    read = [
        {
            field.name: convert[field.type.__name__](row.pop(field.name))
            for field in dataclasses.fields(Result)
            if field.name != "stages"
        }
        for row in rows
    ]
    for row, found in zip(read, whole.results, strict=True):
        assert row == {name: getattr(found, name) for name in row}
    assert {row["device"] for row in rows} == {"CPU"}
    assert {row["seed"] for row in rows} == {"7"}
    assert "2 restarts, protocol worst" in rows[1]["parameters"]
    assert rows[0]["audit"] == "audit: not run"
