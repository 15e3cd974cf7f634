"""The page on an evaluation says what the files of its folder say."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stored
from matplotlib.image import imread
from stored import LARGE, SMALL, make_result, make_stage

import tfgan_robust
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.kept import write_npz
from tfgan_robust.identity import with_digest
from tfgan_robust.reports import breakdown
from tfgan_robust.reports.numbers import wilson
from tfgan_robust.reports.page import write_report
from tfgan_robust.reports.page_figures import draw_figures
from tfgan_robust.reports.reading import read_evaluation
from tfgan_robust.reports.results import WORST, accuracy_fields
from tfgan_robust.reports.verdicts import Check

ROOT = Path(tfgan_robust.__file__).parents[1]
CLASSES = ["cat", "dog", "frog"]
# Twelve images, four of each class; the last two are wrong while clean.
LABELS = np.arange(12) % 3
FOOLED = {
    ("clean", 0.0): {10, 11},
    ("fgsm", SMALL): {0, 10, 11},
    ("fgsm", LARGE): {1, 2, 3, 10, 11},
    ("pgd-10", SMALL): {4, 10, 11},
    ("pgd-10", LARGE): {1, 2, 3, 5, 6, 10, 11},
}
# The arrays of smallest.npz.
SMALLEST = (
    "clean", "attacked", "index", "norm", "label", "predicted", "attack",
)  # fmt: skip
CHECKS = [
    Check(
        "more_steps",
        "PASS",
        {"pgd-10": 0.5, "pgd-100": 0.25},
        "stronger",
        forward_passes=75.66,
        backward_passes=73.0,
    ),
    Check("noise", "WARN", {"noise": 1 / 3}, "noise is as strong as fgsm"),
]


def store(folder, fooled=FOOLED, **changes):
    given = {"labels": LABELS, "classes": CLASSES, "audit": CHECKS, "seed": 7}
    return stored.store(folder, fooled, **(given | changes))


def store_smallest(folder, count=3, side=8, channels=3):
    draw = np.random.default_rng(0)
    clean = draw.integers(0, 256, (count, side, side, channels), np.uint8)
    np.savez_compressed(
        folder / "smallest.npz",
        clean=clean,
        attacked=np.clip(clean / 255 + 0.01, 0, 1).astype(np.float32),
        index=np.arange(count) + 1,
        norm=np.linspace(0.01, 0.03, count).astype(np.float32),
        label=(np.arange(count) + 1) % 3,
        predicted=(np.arange(count) + 2) % 3,
        attack=np.array(["fgsm"] * count, np.str_),
    )


@pytest.fixture
def folder(tmp_path):
    """A whole evaluation."""
    store(tmp_path / "run")
    store_smallest(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page on a whole evaluation."""
    folder = store(tmp_path_factory.mktemp("evaluations") / "run")
    store_smallest(folder)
    return page_of(folder)


def page_of(folder):
    return write_report(folder)[0].read_text(encoding="utf-8")


def table(page, heading):
    """Cells of the first table under a heading."""
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [ln for ln in section.splitlines() if ln.startswith("|")]
    rows = [re.split(r" *(?<!\\)\| ?", line)[1:-1] for line in lines]
    assert set("".join(rows.pop(1))) <= {"-", " "}
    return rows


def images_of(page):
    return re.findall(r"!\[\w+\]\(([^)]+)\)", page)


def test_the_page_and_its_figures_are_written(folder):
    written = write_report(folder)
    names = ["accuracy", "classes", "confusion", "smallest"]
    links = [f"evaluation/{name}.png" for name in names]
    assert written == [folder / "evaluation.md", *(folder / li for li in links)]
    assert images_of(written[0].read_text(encoding="utf-8")) == links
    for path in written[1:]:
        assert imread(path).ndim == 3
        assert path.stat().st_size < 200_000
    # The same files again, and nothing besides.
    assert write_report(folder) == written
    assert sorted(p.name for p in folder.iterdir()) == [
        "evaluation", "evaluation.md", "masks.npz", "results.json",
        "smallest.npz",
    ]  # fmt: skip


def test_the_threat_model_is_complete(page):
    assert page.startswith("# Evaluation of grad_x (best)\n\n## Threat model")
    rows = dict(table(page, "Threat model"))
    assert rows.pop("norm").startswith("L-infinity")
    assert rows.pop("protocol").startswith("worst (")
    assert rows == {
        "what": "value",
        "eps": "4/255, 8/255",
        "images": "the first 12",
        "split": "test of cifar10 (a download)",
        "seed": "7",
        "batch size": "64",
        "XLA": "no",
        "device": "a CPU",
        "versions": "python 3.11, tensorflow 2.21",
        "date": "2026-11-23",
    }


def test_accuracies_have_intervals_and_n(page):
    def cell(count):
        low, high = wilson(count, 12)
        return f"{count / 0.12:.1f} ({100 * low:.1f}-{100 * high:.1f})"

    assert cell(10) == "83.3 (55.2-95.3)"
    assert table(page, "Accuracy") == [
        ["attack", "eps 0", "eps 4/255", "eps 8/255", "n"],
        ["clean", cell(10), "", "", "12"],
        ["fgsm", "", cell(9), cell(7), "12"],
        ["pgd-10", "", cell(9), cell(5), "12"],
        # At 8/255 the two that fell at 4/255 alone count as well.
        ["worst case", "", cell(8), cell(3), "12"],
    ]


def test_no_robust_accuracy_is_without_its_audit(page, folder):
    store(folder, audit=None)
    for text, said in (
        (page, "audit: WARN (1 WARN, 1 PASS): noise"),
        (page_of(folder), "audit: not run"),
    ):
        for heading in ("Accuracy", "Audit", "Classes", "Confusion"):
            assert text.split(f"## {heading}\n\n")[1].startswith(f"{said}\n")


def test_the_page_begins_with_what_was_not_checked(page, folder):
    assert "did not check" not in page
    idle = Check("transfer", "WARN", {}, "not checked: no other network")
    store(folder, audit=[*CHECKS, idle], complete=False)
    title, first, *_ = page_of(folder).split("\n\n")
    assert title.startswith("# Evaluation of ")
    assert first == "**NOTE**: the audit did not check transfer."


def test_the_audit_is_told_in_full(page):
    assert table(page, "Audit") == [
        ["check", "verdict", "finding", "figures", "forward", "backward"],
        ["more_steps", "PASS", "stronger", "pgd-10 0.5, pgd-100 0.25",
         "75.7", "73.0"],
        ["noise", "WARN", "noise is as strong as fgsm", "noise 0.3333",
         "0.0", "0.0"],
    ]  # fmt: skip
    assert "The audit took 76 forward and 73 backward passes for each" in page


def test_stages_are_listed_with_all_settings(tmp_path):
    stages = (
        dataclasses.replace(
            make_stage("apgd-t", num_correct=6, num_targets=9),
            forward_passes=12.34, seconds=61.04,
        ),
        dataclasses.replace(
            make_stage(
                "pgd-10", num_correct=1100, step_ratio=0.25, momentum=0.75,
                random_start=False, num_restarts=2, mine=3,
            ),
            num_images=1200,
        ),
    )  # fmt: skip
    results = [
        make_result("clean", 0.0, 10, 12),
        make_result("fgsm", LARGE, 7, 12, stages=stages),
    ]
    fooled = {key: FOOLED[key] for key in (("clean", 0.0), ("fgsm", LARGE))}
    rows = table(
        page_of(store(tmp_path / "run", fooled, results=results)), "Attacks"
    )
    assert rows == [
        ["attack", "eps", "stage", "settings", "images", "left", "forward",
         "backward", "time"],
        ["fgsm", "8/255", "apgd-t",
         "10 steps, cross_entropy, 9 targets, step 0.1 eps, random start, "
         "1 restart", "10", "6", "12.3", "10.0", "61.0 s"],
        ["fgsm", "8/255", "pgd-10",
         "10 steps, cross_entropy, step 0.25 eps, momentum 0.75, clean start, "
         "2 restarts, mine 3", "1,200", "1,100", "11.0", "10.0", "2.5 s"],
    ]  # fmt: skip


def test_classes_are_judged_by_the_worst_case_at_the_named_eps(page):
    header, *rows = table(page, "Classes")
    assert header == ["class", "n", "clean", "worst case at 8/255"]
    lost = set().union(*FOOLED.values())
    for number, (name, count, clean, worst) in enumerate(rows):
        mine = np.flatnonzero(np.equal(LABELS, number))
        assert (name, int(count)) == (CLASSES[number], len(mine))
        right = len(set(mine) - FOOLED["clean", 0.0])
        assert clean.startswith(f"{100 * right / len(mine):.1f} (")
        assert worst.startswith(
            f"{100 * len(set(mine) - lost) / len(mine):.1f} ("
        )


def test_confusion_is_that_of_the_strongest_attack(page):
    assert "Under pgd-10 at 8/255, the strongest attack there." in page
    expected = np.zeros((3, 3), int)
    for image, label in enumerate(LABELS):
        wrong = image in FOOLED["pgd-10", LARGE]
        expected[label, (label + wrong) % 3] += 1
    assert table(page, "Confusion") == [
        ["class", *CLASSES],
        *(
            [n, *map(str, row)]
            for n, row in zip(CLASSES, expected, strict=True)
        ),
    ]


def test_unknown_predictions_have_a_column(folder):
    store(folder, predict=lambda label: np.where(label == 0, -1, 0))
    rows = table(page_of(folder), "Confusion")
    assert rows[0] == ["class", *CLASSES, "unknown"]
    assert [row[-1] for row in rows[1:]] == ["2", "0", "0"]
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 12


def test_of_many_classes_only_the_frequent_confusions_are_told(tmp_path):
    labels = np.arange(60) % 30
    names = [f"class {number}" for number in range(30)]
    fooled = {("clean", 0.0): set(), ("fgsm", LARGE): {1, 31, 2, 5}}
    store(
        tmp_path / "run", fooled, labels=labels, classes=names,
        predict=lambda label: (label + 3) % 30,
    )  # fmt: skip
    assert table(page_of(tmp_path / "run"), "Confusion") == [
        ["class", "taken for", "images"],
        ["class 1", "class 4", "2"],
        ["class 2", "class 5", "1"],
        ["class 5", "class 8", "1"],
    ]


def test_the_smallest_perturbations_are_listed(page):
    rows = table(page, "Smallest perturbations")
    assert rows == [
        ["image", "class", "taken for", "attack", "norm"],
        ["1", "dog", "frog", "fgsm", "2.55/255"],
        ["2", "frog", "cat", "fgsm", "5.10/255"],
        ["3", "cat", "dog", "fgsm", "7.65/255"],
    ]


def test_what_a_broken_answer_takes_an_image_for_is_unknown(folder):
    replace_arrays(folder / "smallest.npz", {"predicted": np.array([-1, 2, 1])})
    rows = table(page_of(folder), "Smallest perturbations")
    assert rows[1][2] == "unknown" != rows[2][2]


def test_an_interrupted_evaluation_says_so_first(page, folder):
    assert "INCOMPLETE" not in page
    store(folder, complete=False)
    lines = page_of(folder).splitlines()
    assert lines[2].startswith("**INCOMPLETE**")


def test_clean_accuracy_alone(tmp_path):
    store(tmp_path / "run", {("clean", 0.0): {1}}, audit=None)
    page = page_of(tmp_path / "run")
    assert [row[0] for row in table(page, "Accuracy")] == ["attack", "clean"]
    assert images_of(page) == []
    assert dict(table(page, "Threat model"))["eps"] == "none"


def test_nothing_measured_yet(tmp_path):
    page = page_of(store(tmp_path / "run", {}, complete=False))
    assert "INCOMPLETE" in page


def test_each_figure_says_what_it_shows(folder):
    figures = draw_figures(read_evaluation(folder))
    titles = {
        name: figure.get_suptitle() or figure.axes[0].get_title("left")
        for name, figure in figures.items()
    }
    assert titles == {
        "accuracy": "Accuracy under attack",
        "classes": "Accuracy on each class",
        "confusion": "% of each class, pgd-10 at 8/255",
        "smallest": "Smallest perturbations, shown so many times (×) as large",
    }


def test_parts_without_their_files_are_left_out(folder):
    write_report(folder)
    for name in ("masks.npz", "smallest.npz"):
        (folder / name).unlink()
    page = page_of(folder)
    assert "## Classes" not in page
    assert images_of(page) == ["evaluation/accuracy.png"]
    assert [p.name for p in (folder / "evaluation").iterdir()] == [
        "accuracy.png"
    ]


def test_no_image_was_fooled(folder):
    store_smallest(folder, count=0)
    page = page_of(folder)
    assert "Smallest" not in page
    assert "evaluation/smallest.png" not in page


def test_euclidean_radii(tmp_path):
    fooled = {("clean", 0.0): set(), ("pgd-10", 0.5): {1}, ("pgd-10", 1.0): {2}}
    store(tmp_path / "run", fooled, norm="l2")
    store_smallest(tmp_path / "run")
    page = page_of(tmp_path / "run")
    rows = dict(table(page, "Threat model"))
    assert (rows["norm"], rows["eps"]) == ("Euclidean", "0.5, 1")
    assert table(page, "Smallest perturbations")[1][-1] == "0.0100"
    assert "Audits attack in the L-infinity ball." in page


def test_names_cannot_break_the_page(tmp_path):
    names = ["a|b", "<b>$x$", "[c](d)", "*e*\n`f`"]
    folder = store(tmp_path / "run", classes=names, classifier="<i>|net\n#")
    page = page_of(folder)
    assert page.startswith("# Evaluation of \\<i>\\|net #\n")
    assert [row[0] for row in table(page, "Classes")[1:4]] == [
        "a\\|b", "\\<b>$x$", "[c]\\(d)",
    ]  # fmt: skip


def test_classes_without_a_name_are_numbered(tmp_path):
    page = page_of(store(tmp_path / "run", classes=["cat"]))
    assert [row[0] for row in table(page, "Classes")] == [
        "class",
        "cat",
        "1",
        "2",
    ]


def test_reading_gives_back_what_was_measured(folder):
    found = read_evaluation(folder)
    evaluation = found.evaluation
    assert evaluation.accuracy("fgsm", LARGE) == 7 / 12
    assert evaluation.results[1].stages == (make_stage("fgsm", 9),)
    assert evaluation.audit == CHECKS
    assert evaluation.pointwise[0].attacks == ("fgsm", "pgd-10")
    assert found.conditions.versions["tensorflow"] == "2.21"
    np.testing.assert_array_equal(found.labels, LABELS)
    survivors = breakdown.correct_within(evaluation.masks, SMALL)
    lost = FOOLED["fgsm", SMALL] | FOOLED["pgd-10", SMALL]
    assert set(np.flatnonzero(~survivors)) == lost
    curves = breakdown.accuracies(evaluation)
    assert list(curves) == ["fgsm", "pgd-10", WORST]
    assert [row.num_correct for row in curves["worst case"]] == [10, 8, 3]


def rewritten(folder, change):
    path = folder / "results.json"
    whole = json.loads(path.read_text())
    change(whole)
    path.write_text(json.dumps(whole))


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (lambda w: w.update(schema_version=1), "Received: 1."),
        (lambda w: w.pop("schema_version"), "schema_version 2 or 3"),
        (lambda w: w.pop("classifier"), "classifier"),
        (lambda w: w.update(dataset="cifar10"), "results.json"),
        (lambda w: w["dataset"].pop("classes"), "classes"),
        (lambda w: w["results"][0].update(accuracy="0.5"), "'0.5' is no float"),
        (lambda w: w["results"][0].update(seconds=None), "None is no float"),
        (lambda w: w.update(num_images=True), "True is no int"),
        (lambda w: w.update(results=None), "results.json"),
        (
            lambda w: w["results"][1].update(num_correct=1),
            "fgsm has the accuracy 0.75",
        ),
        (
            lambda w: w["results"][1].update(accuracy_fields(0, 12)),
            "the same evaluation",
        ),
        (lambda w: w["results"][1].update(num_correct=13), "13 of 12 images"),
        (lambda w: w["results"][1].update(num_correct=-1), "-1 of 12 images"),
        (lambda w: w["results"][1].update(accuracy=-7.0), "accuracy -7.0"),
        (
            lambda w: w["results"][1].update(accuracy=float("nan")),
            "NaN, which JSON does not know",
        ),
        (lambda w: w["results"][1].update(eps=0.0), "has eps 0.0"),
        (lambda w: w["results"][1].update(eps=1e999), "JSON does not know"),
        (lambda w: w["results"][1].update(accuracy_low=0.9), "accuracy_low"),
        (lambda w: w["pointwise"][0].update(accuracy_high=1), "accuracy_high"),
        (lambda w: w["results"][1].update(eps=10**400), "more digits"),
        (
            lambda w: w["results"][1].update(num_images=10**30),
            "of 1000000000000000000000000000000 images",
        ),
        (lambda w: w["pointwise"][0].update(accuracy=0.1), "the accuracy 0.1"),
        (lambda w: w.update(num_images=0), "num_images is 0"),
        *(
            (
                lambda w, value=value: w["results"][1]["stages"][0][
                    "settings"
                ].update(step_ratio=value),
                f"step_ratio is {value}"[:40],
            )
            for value in ([1], None, True, 10**400)
        ),
        (
            lambda w: w["results"][1]["stages"][0]["settings"].update(
                momentum="0.5"
            ),
            "momentum is 0.5",
        ),
        (lambda w: w["results"][1].update(eps=0.5), "the same evaluation"),
        *(
            (lambda w, name=name: w.pop(name), f"{name} is missing")
            for name in ("results", "pointwise", "audit", "complete", "notes")
        ),
        *(
            (lambda w, name=name: w.update({name: ""}), "'' is no list")
            for name in ("results", "pointwise", "stored", "audit", "notes")
        ),
        (lambda w: w.update(results={}), "{} is no list"),
        (lambda w: w.update(versions=[]), "[] is no dict"),
        (lambda w: w["dataset"].update(classes="cat"), "'cat' is no list"),
        (lambda w: w["pointwise"][0].update(attacks="ab"), "'ab' is no list"),
        (lambda w: w["results"].pop(0), "on clean images is missing"),
        (lambda w: w["results"].append(w["results"][1]), "is there twice"),
        (lambda w: w.update(norm="x"), "norm is x, and not linf or l2"),
        (
            lambda w: w["results"][1].update(norm="l2"),
            "the norm of fgsm is l2, and not linf",
        ),
        (
            lambda w: w["results"][1].update(protocol="best"),
            "the protocol of fgsm is best, and not final or worst",
        ),
        (
            lambda w: w["audit"][0].update(verdict="MAYBE"),
            "the verdict of more_steps is MAYBE, and not PASS or WARN or FAIL",
        ),
        (lambda w: w.update(audit=[]), "its audit has no checks"),
        (lambda w: w.update(identity=[]), "[] is no dict"),
        (lambda w: w.update(identity={"a": 1}), "which images these are"),
        (
            lambda w: w.update(identity={"images": ["0123"]}),
            "which images these are",
        ),
        (lambda w: w["pointwise"][0].update(eps=0.5), "attacks or radii"),
        (lambda w: w["pointwise"].pop(), "attacks or radii"),
        (lambda w: w["pointwise"].reverse(), "attacks or radii"),
        (lambda w: w["pointwise"][0]["attacks"].pop(), "attacks or radii"),
        (
            lambda w: w.update(stored=w["pointwise"][:1]),
            "attacks or radii",
        ),
        (
            lambda w: w["pointwise"][0].update(accuracy_fields(6, 11)),
            "the worst case at 4/255 is of other images",
        ),
        *(
            (
                lambda w, count=count: w["pointwise"][0].update(
                    accuracy_fields(count, 12)
                ),
                "the worst case at 4/255 does not follow from the attacks",
            )
            for count in (7, 9)
        ),
    ],
)
def test_bad_figures_are_refused(folder, change, fragment):
    rewritten(folder, change)
    with pytest.raises(UsageError, match=re.escape(fragment)):
        write_report(folder)
    assert not (folder / "evaluation.md").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"audit": None},
        {"audit": [dataclasses.asdict(CHECKS[0])]},
        {"notes": []},
        {"stored": []},
        {"seed": 8},
        {"digest": None},
    ],
    ids=str,
)
def test_what_was_changed_unsaid_is_refused(folder, change):
    path = folder / "results.json"
    whole = json.loads(path.read_text())
    whole = with_digest(
        {**whole, "notes": ["one"], "stored": whole["pointwise"]}
    )
    path.write_text(json.dumps(whole))
    write_report(folder)
    path.write_text(json.dumps({**whole, **change}))
    with pytest.raises(UsageError, match="its digest is not that of what it"):
        write_report(folder)


def test_a_worst_case_is_no_better_than_its_attacks_without_masks_either(
    folder,
):
    (folder / "masks.npz").unlink()

    def worst(count):
        rewritten(
            folder,
            lambda whole: whole["pointwise"][0].update(
                accuracy_fields(count, 12)
            ),
        )

    # FGSM leaves 9 at this radius; it and PGD can leave any fewer.
    worst(7)
    read_evaluation(folder)
    worst(10)
    with pytest.raises(UsageError, match="the worst case at 4/255 does not"):
        read_evaluation(folder)


def test_infinity_is_no_figure_however_it_is_written(folder):
    path = folder / "results.json"
    text = path.read_text()
    assert '"seconds": 2.5' in text
    path.write_text(text.replace('"seconds": 2.5', '"seconds": 1e999'))
    with pytest.raises(UsageError, match="inf is no figure"):
        read_evaluation(folder)


def test_what_earlier_versions_did_not_write_may_be_missing(folder):
    def change(whole):
        del whole["stored"], whole["identity"]
        for check in whole["audit"]:
            del check["forward_passes"], check["backward_passes"]

    rewritten(folder, change)
    write_report(folder)


@pytest.mark.parametrize(
    "array",
    [
        np.array(True),
        np.zeros((12, 1), bool),
        np.zeros(12, np.float32),
        np.array(["a"] * 12),
        np.zeros(3, bool),
    ],
)
@pytest.mark.parametrize("name", ["labels", "clean", "clean:predicted"])
def test_odd_arrays_are_refused(folder, name, array):
    replace_arrays(folder / "masks.npz", {name: array})
    with pytest.raises(UsageError, match="not of the same evaluation"):
        read_evaluation(folder)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: np.array("x")} for name in SMALLEST),
        *({name: np.full(3, 1j)} for name in SMALLEST),
        *({name: np.full(20, np.nan)} for name in SMALLEST),
        *(
            {name: np.full(3, number)}
            for name in ("index", "label")
            for number in (-1, 10**12, 1.0)
        ),
        *({"predicted": np.full(3, number)} for number in (-2, 10**12, 1.0)),
        {"more": np.zeros(3)},
        {"index": np.array([1, 2, 12])},
        {"index": np.array([1, 2, 2])},
        {"label": np.array([1, 2, 1])},
        {"label": np.array([1, 2])},
        {"norm": np.full(3, -0.1)},
        {"norm": np.full(3, np.inf)},
        {"attacked": np.full((3, 8, 8, 3), np.nan)},
        {"attacked": np.full((3, 8, 8, 3), 1.5)},
        {"attacked": np.zeros((3, 4, 4, 3))},
        {"clean": np.zeros((3, 8, 8, 3))},
        *(
            {
                "clean": np.zeros((3, *shape), np.uint8),
                "attacked": np.zeros((3, *shape)),
            }
            for shape in ((8, 8, 2), (8, 8, 0), (0, 8, 3))
        ),
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_odd_smallest_perturbations_are_refused(folder, changes):
    replace_arrays(folder / "smallest.npz", changes)
    with pytest.raises(UsageError, match=r"smallest\.npz is not what"):
        write_report(folder)
    assert not (folder / "evaluation.md").exists()


@pytest.mark.parametrize("name", SMALLEST)
def test_all_arrays_of_the_smallest_perturbations_must_be_there(folder, name):
    path = folder / "smallest.npz"
    with np.load(path) as stored:
        np.savez(path, **{k: stored[k] for k in stored.files if k != name})
    with pytest.raises(UsageError, match="it must hold clean, attacked"):
        read_evaluation(folder)


@pytest.mark.parametrize(
    ("name", "array"), [("smallest.npz", "predicted"), ("masks.npz", "labels")]
)
def test_arrays_that_do_not_fit_their_digest_are_refused(folder, name, array):
    path = folder / name
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    write_npz(path, arrays)
    read_evaluation(folder)
    replace_arrays(path, {array: (arrays[array] + 1) % 3})
    with pytest.raises(UsageError, match=f"{name} is not as it was written"):
        read_evaluation(folder)


def replace_arrays(path, changes):
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    np.savez(path, **{**arrays, **changes})


def test_what_a_later_release_adds_is_no_matter(folder):
    rewritten(folder, lambda whole: whole.update(mood="good"))
    write_report(folder)


@pytest.mark.parametrize("name", ["results.json", "masks.npz", "smallest.npz"])
@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_files_that_are_cut_short_are_refused(folder, name, keep):
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole) if keep == 0.5 else keep)])
    with pytest.raises(UsageError, match=name):
        read_evaluation(folder)


def test_folders_without_an_evaluation_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no results\.json"):
        write_report(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        write_report(tmp_path / "absent")


def test_reports_need_no_tensorflow(folder, tmp_path):
    poison = tmp_path / "poison"
    poison.mkdir()
    for name in ("tensorflow", "keras"):
        (poison / f"{name}.py").write_text("raise SystemError('imported')")
    code = (
        "import pathlib, sys; "
        "from tfgan_robust.reports.page import write_report; "
        "write_report(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": f"{poison}{os.pathsep}{ROOT}"},
        check=True,
    )
    assert (folder / "evaluation.md").is_file()


def test_notes_and_what_is_not_proved_are_said_first(tmp_path):
    store(tmp_path, notes=["there are no images of *cow*"], identity={})
    write_report(tmp_path)
    page = (tmp_path / "evaluation.md").read_text()
    assert page.startswith(
        "# Evaluation of grad_x (best)\n\n"
        "**NOTE**: there are no images of \\*cow\\*.\n\n"
        "**NOTE**: stored by an earlier version, it cannot prove to which"
    )


def test_the_draw_of_the_images_is_said(tmp_path):
    store(tmp_path, dataset={"draw": "the first 12 of a fixed order"})
    write_report(tmp_path)
    page = (tmp_path / "evaluation.md").read_text()
    assert dict(table(page, "Threat model"))["images"] == (
        "the first 12 of a fixed order"
    )
