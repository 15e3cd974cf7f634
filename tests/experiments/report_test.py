"""REPORT.md says what was stored, of what it was stored, and no more."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stored import store

from experiments import report
from experiments.findings import (
    evidence,
    intervals,
    reasons,
    sections,
    stated,
    summary,
    tables,
)
from experiments.harness import experiment, study
from tfgan_robust.errors import UsageError
from tfgan_robust.files import write_json
from tfgan_robust.reports.numbers import wilson

ROOT = Path(__file__).parents[2]

IMAGES = 200
CLEAN, FGSM, PGD = ("clean", 0.0), ("fgsm", 8 / 255), ("pgd-100", 8 / 255)
PGD_AT_8 = ("pgd-100", 8)
CLASSES = [str(number) for number in range(10)]


def row(trial, correct, *, seed=0, **columns):
    """A published row, with so many images correct under each attack."""
    return {
        "trial": f"{trial}-{seed}",
        "seed": seed,
        "epochs": 100,
        "training seconds": 3600.0,
        "trained on": "a CPU",
        "measurement": "test",
        "checkpoint": "last",
        "split": "test",
        "images": IMAGES,
        "data": "CIFAR-10",
        "device": "a CPU",
        "date": "2026-11-28",
        "accuracy": [
            {
                "attack": attack,
                "eps": eps,
                "correct": count,
                "accuracy": count / IMAGES,
                "low": wilson(count, IMAGES)[0],
                "high": wilson(count, IMAGES)[1],
            }
            for (attack, eps), count in correct.items()
        ],
        "settings": {"dataset": "cifar10", "seed": seed},
        **columns,
    }


def publish(folder, name, *rows, **more):
    """Leaves what an experiment publishes, and what its trials keep."""
    for each in rows:
        kept = folder / "trials" / each["trial"]
        fooled = {
            (a["attack"], a["eps"]): range(a["correct"], IMAGES)
            for a in each["accuracy"]
        }
        store(
            kept / each["measurement"], fooled,
            labels=np.arange(IMAGES) % 10, classes=CLASSES,
        )  # fmt: skip
        settings = {**each["settings"], "eps": 8 / 255, "data_dir": "/here"}
        precision = {"name": "mixed_bfloat16", "reason": "it is faster"}
        config = {"settings": settings, "precision": precision}
        write_json(kept / "config.json", config)
        lines = [
            "epoch,fgsm_success,generator_0_success,train_mode_accuracy,"
            "inference_mode_accuracy,val_fgsm_accuracy,val_pgd_accuracy",
            "99.0,0.9,0.1,0.8,0.7,0.4,0.3",
            "100.0,0.8,0.25,0.75,0.5,0.4,0.3",
        ]
        (kept / "metrics.csv").write_text("\n".join(lines) + "\n")
        alarm = {"epoch": 90, "name": "modes_disagree", "message": "it did"}
        (kept / "alarms.json").write_text(json.dumps([alarm]))
    write_json(
        folder / f"{name}.json",
        {
            "experiment": name,
            "title": name,
            "source": "4",
            "preset": "cpu",
            "command": f"python -m experiments.{name}",
            "rows": list(rows),
            **more,
        },
    )


def formulation(name, pgd, *, by="paper", clean=160, **more):
    columns = {"formulation": name, "settings by": by, **more}
    correct = {CLEAN: clean, FGSM: min(clean, max(pgd, 60)), PGD: pgd}
    return row(f"formulations/{name}-{by}", correct, **columns)


def cells(table, start):
    """The cells of the table's lines that begin with this cell."""
    lines = [line.strip("| ").split("|") for line in table.splitlines()]
    return [
        [cell.strip() for cell in line]
        for line in lines
        if line[0].strip() == start
    ]


def test_what_lies_behind_a_row_is_read(tmp_path):
    publish(tmp_path, "formulations", formulation("grad", 80))
    stored = evidence.read(tmp_path, ["formulations", "epochs"])
    (found,) = stored["formulations"]["rows"]
    assert found["classes"] == 10
    assert found["trained in"] == "mixed_bfloat16"
    assert found["resolved"]["eps"] == 8 / 255
    assert found["health"]["fgsm_success"] == 0.8
    assert found["alarms"][0]["name"] == "modes_disagree"
    each = experiment.entry(found, *PGD)
    assert each["mask"].sum() == 80
    assert "step 0.1 eps" in each["how"]
    assert "protocol worst" in each["how"]
    measured = evidence.measured(
        stored["formulations"], "pgd-100", 8, formulation="grad"
    )
    assert measured.chance == 10
    assert measured.masks[0].sum() == 80


ATTACK = ("autoattack", 8 / 255)


def test_accuracies_of_a_row_know_their_measurement(tmp_path):
    first = formulation("grad", 80)
    second = row(
        "formulations/grad-paper", {CLEAN: 160, ATTACK: 70},
        measurement="autoattack", formulation="grad",
        **{"settings by": "paper"},
    )  # fmt: skip
    publish(tmp_path, "formulations", first, second)
    # As they are published: one row, each of whose accuracies names its own.
    own = [{**a, "measurement": "test"} for a in first["accuracy"]]
    own += [{**a, "measurement": "autoattack"} for a in second["accuracy"][1:]]
    file = tmp_path / "formulations.json"
    published = json.loads(file.read_text())
    write_json(file, published | {"rows": [{**first, "accuracy": own}]})
    stored = evidence.read(tmp_path, ["formulations"])["formulations"]
    (found,) = stored["rows"]
    assert [each["attack"] for each in found["accuracy"]] == [
        "clean", "fgsm", "pgd-100", "autoattack",
    ]  # fmt: skip
    assert experiment.entry(found, *ATTACK)["mask"].sum() == 70
    clean = evidence.measured(stored, "clean", 0, formulation="grad")
    assert clean.values == (80.0,)


def test_figures_that_were_not_kept_so_are_refused(tmp_path):
    publish(tmp_path, "formulations", formulation("grad", 80))
    folder = tmp_path / "trials" / "formulations/grad-paper-0" / "test"
    store(
        folder, {CLEAN: range(100, IMAGES)},
        labels=np.arange(IMAGES) % 10, classes=CLASSES,
    )  # fmt: skip
    with pytest.raises(UsageError, match="is not what was published"):
        evidence.read(tmp_path, ["formulations"])


def test_accuracies_of_networks_that_are_gone_are_refused(tmp_path):
    publish(tmp_path, "formulations", formulation("grad", 80))
    kept = tmp_path / "trials" / "formulations/grad-paper-0"
    write_json(kept / study.NETWORK, {"last": "0123"})
    write_json(kept / "test" / study.NETWORK, {"last": "0123"})
    assert evidence.read(tmp_path, ["formulations"])
    write_json(kept / study.NETWORK, {"last": "4567"})
    with pytest.raises(UsageError, match="was trained again after"):
        evidence.read(tmp_path, ["formulations"])


def test_an_experiment_that_repeats_enough_speaks_for_itself():
    def of(name, count, values=(60, 64, 62)):
        return {
            "rows": [
                row(f"{name}/{number}", {PGD: value}, seed=seed)
                for number in range(count)
                for seed, value in enumerate(values)
            ]
        }

    results = {"efficiency": of("efficiency", 4), "precision": of("other", 1)}
    for name, degrees in (("efficiency", 8), ("precision", 10)):
        apart = evidence.with_seeds(results, name)["seeds apart"]["attacked"]
        assert intervals.Seeds.pooled(apart.values()).degrees == degrees
    stored = evidence.with_seeds(results, "efficiency")
    for each in stored["rows"]:
        each["name"] = each["trial"]
    # Of a training itself, others are all that is not its own.
    first = evidence.measured(stored, *PGD_AT_8, name="efficiency/0-0")
    assert first.elsewhere.degrees == 6


def test_seeds_are_counted_for_each_row():
    rows = [row("efficiency/gan", {PGD: 60}, seed=seed) for seed in range(3)]
    rows.append(row("efficiency/fgsm", {PGD: 50}))
    assert evidence.seeds_of(rows) == "1 to 3 seeds"
    assert evidence.seeds_of(rows[:3]) == "3 seeds"
    assert evidence.seeds_of(rows[3:]) == "1 seed"
    assert "1 to 3 seeds for each row" in tables.conditions(rows)
    assert tables.conditions(rows).endswith("; audit: not run.")
    rows[0]["audit"] = "audit: PASS (22 PASS)"
    assert "audit: PASS (22 PASS), audit: not run" in tables.conditions(rows)


def test_how_far_seeds_are_apart_is_known():
    def of(name, values):
        return {
            "rows": [
                row(f"{name}/a", {CLEAN: 160, PGD: value}, seed=seed)
                for seed, value in enumerate(values)
            ]
        }

    results = {"efficiency": of("efficiency", (60, 64, 62))}
    # In % these are 30, 32 and 31.
    found = evidence.seeds_apart(results)
    assert found == {"clean": (0.0, 2), "attacked": (1.0, 2)}
    results["precision"] = of("precision", (50, 60))
    deviation, degrees = evidence.seeds_apart(results)["attacked"]
    assert (deviation, degrees) == (pytest.approx(math.sqrt(14.5 / 3)), 3)
    # What two experiments measure of one network is of one seed.
    results["epochs"] = results["pgd_iterations"] = of("epochs", (50,))
    assert evidence.seeds_apart(results)["attacked"].degrees == 3
    assert evidence.seeds_apart({}) == {"clean": (0, 0), "attacked": (0, 0)}


def test_seeds_have_mean_and_range():
    rows = [
        row(
            "efficiency/gan", {PGD: 60 + 10 * seed}, seed=seed, variant="gan",
            **{"trained in": "mixed_bfloat16" if seed else "float32"},
        )
        for seed in range(3)
    ]  # fmt: skip
    rows.append(
        row(
            "efficiency/fgsm", {PGD: 50}, variant="fgsm",
            **{"trained in": "float32"},
        )
    )  # fmt: skip
    table = tables.over_seeds(rows)
    assert cells(table, "gan") == [
        ["gan", "3", "float32 and mixed_bfloat16", "35.0 (30.0 to 40.0)"]
    ]
    assert cells(table, "fgsm") == [["fgsm", "1", "float32", "25.0"]]
    assert "n = 1" in tables.over_seeds(rows[3:])


def test_table_2_stands_beside_the_long_run_at_its_epoch_alone(tmp_path):
    rows = [
        row("epochs/grad-x2", {PGD: 80}, checkpoint=f"epoch-{epoch}",
            measurement=f"epoch-{epoch}", formulation="grad")
        for epoch in (50, 100, 150)
    ]  # fmt: skip
    results = {
        "epochs": {"rows": rows},
        "formulations": {"rows": [formulation("grad", 80)]},
    }
    (table,) = sections.added("epochs", results, tmp_path)
    assert cells(table, "epochs/grad-x2-0") == [
        ["epochs/grad-x2-0", "epoch-100", "pgd-100", "8/255", "45.60", "40.00",
         "-5.60"]
    ]  # fmt: skip
    text = "".join(sections.added("formulations", results, tmp_path))
    assert "45.60" not in text


def test_each_row_says_how_it_was_trained_and_measured(tmp_path):
    publish(
        tmp_path, "formulations", formulation("grad", 80),
        formulation("grad", 90, by="ours", settings={"averaging": 0.998}),
    )  # fmt: skip
    rows = evidence.read(tmp_path, ["formulations"])["formulations"]["rows"]
    text = "\n\n".join(tables.how(rows))
    # Clean images, FGSM and PGD took 2.5 s each.
    assert cells(text, "paper")[0][1:5] == [
        "1.0 h", "8 s", "200 test images", "mixed_bfloat16",
    ]  # fmt: skip
    assert "--eps=8/255" in text
    assert "/here" not in text
    assert "- `pgd-100`: pgd-100: 10 steps" in text


def test_a_formulation_that_fails_has_a_reason(tmp_path):
    publish(
        tmp_path, "formulations",
        formulation("baseline", 0), formulation("x", 20, clean=20),
        formulation("grad", 10), formulation("grad_x", 80),
        formulation("grad", 90, by="ours", settings={"averaging": 0.998}),
    )  # fmt: skip
    results = evidence.read(tmp_path, ["formulations"])
    text = "\n\n".join(sections.added("formulations", results, tmp_path))
    # Both settings of a formulation stand together.
    order = ("x-paper", "grad-paper", "grad-ours", "grad_x-paper")
    at = [text.index(f"formulations/{name}-0") for name in order]
    assert at == sorted(at)
    (constant,) = cells(text, "formulations/x-paper-0")
    assert "it learned nothing" in constant[-1]
    (weak,) = cells(text, "formulations/grad-paper-0")
    assert weak[1:8] == ["5.0", "80.0", "25.0", "75.0", "50.0", "80.0",
                         "modes_disagree"]  # fmt: skip
    for sign in ("one step and not many", "weaker than FGSM", "modes disagree"):
        assert sign in weak[-1]
    assert "averaging none and 0.998" in text
    told = dict(reasons.withstanding(results))
    assert told == {"x": False, "xz": None, "grad": False, "grad_x": True}
    short = "\n".join(summary.paragraphs(results))
    assert "these withstand PGD-100 at 8/255" in short
    assert short.index("`grad_x`") < short.index("not found to withstand")


def test_collapses_are_told_with_their_alarms(tmp_path):
    def of(name, pgd, left, alarms):
        history = {"at": [2, 4, 6], "fgsm": pgd, "pgd": pgd, "alarms": alarms}
        return [
            row(
                f"collapse/{name}",
                {("autoattack-fast", eps / 255): count for eps in (8, 16)},
                variant=name, history=history, checkpoint=checkpoint,
                resolved={"eval_images": 1000}, classes=10,
            )
            for checkpoint, count in zip(("best", "last"), left, strict=True)
        ]  # fmt: skip

    fell = [6, "pgd_collapses"]
    early = [[4, "fgsm_rises_while_pgd_falls"], fell]
    rows = [
        *of("fgsm", [0.2, 0.3, 0.01], (50, 2), [fell]),
        *of("early", [0.3, 0.2, 0.0], (50, 2), early),
        *of("silent", [0.3, 0.2, 0.2], (50, 2), []),
        *of("back", [0.3, 0.01, 0.3], (50, 50), [[4, "pgd_collapses"]]),
        *of("shy", [0.3, 0.25, 0.3], (50, 50), [[4, "pgd_collapses"]]),
        *of("gan", [0.2, 0.25, 0.3], (50, 50), []),
        *of("never", [0.02, 0.0, 0.0], (1, 0), [[4, "pgd_collapses"]]),
        *of("weak", [0.02, 0.02, 0.02], (1, 1), []),
    ]
    added = sections.added("collapse", {"collapse": {"rows": rows}}, tmp_path)
    text = "\n\n".join(added)
    (line,) = cells(text, "fgsm")
    assert line[3:9] == [
        "30.0 at 4", "1.0 at 6", "1.0 at 6", "autoattack-fast 16/255", "25.0",
        "1.0",
    ]  # fmt: skip
    assert line[-3:] == ["1", "6: pgd_collapses", "a fall, and alarms"]
    assert cells(text, "early")[0][-3:] == [
        "2", "4: fgsm_rises_while_pgd_falls", "a fall, and alarms",
    ]  # fmt: skip
    assert cells(text, "silent")[0][-1] == "a fall without an alarm"
    (back,) = cells(text, "back")
    assert back[3:6] == ["30.0 at 2", "1.0 at 4", "30.0 at 6"]
    assert back[-1] == "a fall from which it came back, and alarms"
    assert cells(text, "shy")[0][-1] == "an alarm without a fall"
    assert cells(text, "gan")[0][-3:] == ["0", "none", "neither"]
    never = "never above a constant answer's 10 %, "
    assert cells(text, "never")[0][-1] == f"{never}and alarms"
    assert cells(text, "weak")[0][-1] == f"{never}without an alarm"


def test_pairs_of_methods_are_told_with_their_number(tmp_path):
    line = {"variant": "gan", "budget": 10, "seed": 0, "best": "nfgsm",
            "only this": 3, "only the best": 15, "p": 0.0075}  # fmt: skip
    with (tmp_path / "efficiency_paired.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(line))
        writer.writeheader()
        writer.writerows([line, line])
    text = "\n\n".join(sections.added("efficiency", {}, tmp_path))
    assert cells(text, "gan")[0][-2:] == ["0.0075", "0.015"]


def test_numbers_that_the_paper_states_stand_beside_ours(tmp_path):
    rows = [
        formulation("baseline", 0, clean=150),
        *(formulation(name, 80) for name in ("x", "xz", "grad", "grad_x")),
    ]
    found = list(stated.numbers({"formulations": {"rows": rows}}))
    assert {each.what for each in found} == {*report.marks.STATED["text"]}
    (ours,) = (n for n in found if n.what == "at 8/255" and n.less)
    assert (ours.paper, ours.less) == ("around 45", "-5.0")
    assert any("was not run" in each.here for each in found)
    for each in rows:
        each["settings"]["dataset"] = "digits"
    others = stated.numbers({"formulations": {"rows": rows}})
    assert not any(each.less for each in others)


def test_costs_that_are_unknown_are_said_to_be(tmp_path):
    text = " ".join(report.full_cost(tmp_path, tmp_path))
    assert "python -m experiments.costs --preset=paper" in text
    assert "evaluations" in text
    hours = {
        "epochs": {
            "trainings": 1, "hours": 12.0, "later trainings": 3,
            "later hours": 36.5,
        }
    }  # fmt: skip
    costs = {"hours": hours, "device": "a GPU", "date": "2026-11-28"}
    write_json(tmp_path / "costs.json", costs)
    text = "\n\n".join(report.full_cost(tmp_path, tmp_path))
    assert "12 hours on a GPU" in text
    assert "36 more at most" in text
    assert cells(text, "epochs")[0][1:] == ["1", "12.0", "3", "36.5"]
    assert "Evaluations are not counted" in text


def test_the_readme_shows_what_was_found_between_its_marks(tmp_path):
    results = tmp_path / "results"
    publish(
        results, "formulations", formulation("baseline", 0),
        *(formulation(name, 80) for name in ("x", "xz", "grad", "grad_x")),
    )  # fmt: skip
    (results / "formulations.png").touch()
    file = tmp_path / "README.md"
    file.write_text(f"before\n{summary.BEGIN}\nold\n{summary.END}\nafter\n")
    read = evidence.read(results, ["formulations"])
    text = summary.readme(read, results, file, results / "REPORT.md")
    assert text.startswith(f"before\n{summary.BEGIN}\n")
    assert text.endswith(f"{summary.END}\nafter\n")
    assert "old" not in text
    assert "](results/formulations.png)" in text
    found = summary.judged(read)
    answers = [c for c, each in found if each.verdict != summary.UNKNOWN]
    assert 0 < len(answers) < len(found)
    for claim, _ in found:
        assert (claim.text in text) == (claim in answers)
    assert f"{len(found) - len(answers)} of {len(found)} claims" in text
    file.write_text(text)
    assert summary.readme(read, results, file, results / "REPORT.md") == text
    file.write_text("no marks")
    with pytest.raises(UsageError, match="must hold these two lines"):
        summary.readme(read, results, file, results / "REPORT.md")


def test_who_wins_in_each_training_time_is_said():
    def reached(variant, budget, correct):
        return row(
            f"efficiency/{variant}-{budget}", {CLEAN: 160, PGD: correct},
            variant=variant, budget=budget,
        )  # fmt: skip

    rows = [
        reached("nfgsm", 10, 90), reached("gan", 10, 60),
        reached("fgsm", 10, 2),
        reached("nfgsm", 30, 90), reached("gan", 30, 92),
        # Nothing to be compared with.
        reached("nfgsm", 60, 95),
    ]  # fmt: skip
    short, long, _ = summary.efficient({"efficiency": {"rows": rows}})
    assert short.startswith(
        "Trained for as long as 10 epochs of `fgsm` take, generators leave"
    )
    assert "less accuracy" in short
    assert "with generators is gan: pgd-100 8/255 30.0 %" in short
    assert "best without nfgsm: pgd-100 8/255 45.0 %" in short
    assert "difference -15.0 (" in short
    assert "generators are not told from" in long
    assert list(summary.efficient({})) == []


def test_the_project_readme_has_the_marks():
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.count(summary.BEGIN) == text.count(summary.END) == 1


def test_a_report_of_some_experiments_is_written(tmp_path):
    results = tmp_path / "results"
    publish(
        results, "formulations", formulation("baseline", 0),
        *(formulation(name, 80) for name in ("x", "xz", "grad", "grad_x")),
    )  # fmt: skip
    page = tmp_path / "REPORT.md"
    done = subprocess.run(
        [
            sys.executable, "-m", "experiments.report", "--preset=cpu",
            f"--results={results}", f"--output={page}",
        ],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = page.read_text("utf-8")
    (claim,) = cells(text, "All formulations improve robustness over the "
                           "baseline, and over a constant answer, at 4 and "
                           "8/255.")  # fmt: skip
    assert claim[2] == "agrees"
    agrees = text.index("What was found here agrees with the paper")
    # Before all other verdicts, the first of which ends the list.
    rest = text[agrees:].partition("It ")[0]
    assert "All formulations improve robustness" in rest
    assert "nothing is repeated yet" in text
    (results / "formulations.json").write_text("{")
    done = subprocess.run(
        [
            sys.executable, "-m", "experiments.report", "--preset=cpu",
            f"--results={results}", f"--output={page}",
        ],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: ")
