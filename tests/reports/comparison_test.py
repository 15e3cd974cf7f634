"""Evaluations side by side: what is shown, and what is warned of."""

import csv
import dataclasses
import io

import numpy as np
import pytest
import stored
from stored import LARGE, SMALL

from tfgan_robust.errors import UsageError
from tfgan_robust.reports import comparison, comparison_page, plots
from tfgan_robust.reports.numbers import mcnemar, wilson
from tfgan_robust.reports.verdicts import Check

LABELS = np.arange(20) % 4
# By attack and radius, how many of the first images are wrong.
WEAK = {
    ("clean", 0.0): 2, ("fgsm", SMALL): 8, ("fgsm", LARGE): 14,
    ("pgd-10", SMALL): 9, ("pgd-10", LARGE): 16,
}  # fmt: skip
STRONG = {
    ("clean", 0.0): 4, ("fgsm", SMALL): 5, ("fgsm", LARGE): 6,
    ("pgd-10", SMALL): 5, ("pgd-10", LARGE): 7,
}  # fmt: skip


def store(folder, wrong=WEAK, **changes):
    """Writes an evaluation in which the first images are the wrong ones."""
    fooled = {key: set(range(count)) for key, count in wrong.items()}
    given = {"labels": LABELS, "classes": ["cat", "dog", "frog", "ship"]}
    return stored.store(folder, fooled, **(given | changes))


def load(tmp_path, *evaluations):
    """Two or more evaluations, each of the given contents."""
    names = "abcdef"[: len(evaluations)]
    return comparison.load(
        [
            store(tmp_path / name, **contents)
            for name, contents in zip(names, evaluations, strict=True)
        ]
    )


def test_accuracies_stand_side_by_side(tmp_path):
    audit = [Check("noise", "FAIL", {}, "it is")]
    runs = load(
        tmp_path, {"audit": audit}, {"wrong": STRONG, "complete": False}
    )
    lines = comparison_page.format_comparison(runs).splitlines()
    rows = [[c.strip() for c in ln.split("|")[1:-1]] for ln in lines[:4]]
    assert rows[0] == [
        "run", "classifier", "n", "audit", "clean", "fgsm 4/255", "fgsm 8/255",
        "pgd-10 4/255", "pgd-10 8/255", "worst case 4/255", "worst case 8/255",
    ]  # fmt: skip
    assert rows[2:] == [
        ["a", "grad_x (best)", "20", "FAIL (1 FAIL): noise", "90.0", "60.0",
         "30.0", "55.0", "20.0", "55.0", "20.0"],
        ["b", "grad_x (best)", "20", "not run", "80.0", "75.0", "70.0", "75.0",
         "65.0", "75.0", "65.0"],
    ]  # fmt: skip
    assert "- warning: b is INCOMPLETE" in lines


def test_what_was_not_measured_is_blank(tmp_path):
    runs = load(
        tmp_path,
        {"wrong": {("clean", 0.0): 2, ("fgsm", SMALL): 8}},
        {"wrong": {("clean", 0.0): 2, ("square", LARGE): 9}},
    )
    header, _, *rows = comparison_page.format_comparison(runs).splitlines()[:4]
    titles = [cell.strip() for cell in header.split("|")[5:-1]]
    assert titles == [
        "clean", "fgsm 4/255", "square 8/255", "worst case 4/255",
        "worst case 8/255",
    ]  # fmt: skip
    cells = [[c.strip() for c in row.split("|")[5:-1]] for row in rows]
    assert cells == [
        ["90.0", "60.0", "", "60.0", ""],
        ["90.0", "", "55.0", "", "55.0"],
    ]


def test_a_single_attack_needs_no_worst_case(tmp_path):
    wrong = {("clean", 0.0): 2, ("fgsm", SMALL): 8}
    text = comparison_page.format_comparison(load(tmp_path, {"wrong": wrong}))
    assert "| clean | fgsm 4/255 |\n" in text
    assert "warning" not in text


def test_8_bit_rows_make_no_second_attack(tmp_path, monkeypatch):
    drawn = []
    draw = plots.draw_curves
    monkeypatch.setattr(
        plots,
        "draw_curves",
        lambda panels, **given: (
            drawn.append([*panels]) or draw(panels, **given)
        ),
    )
    wrong = {("clean", 0.0): 2, ("fgsm", SMALL): 8}
    fooled = {key: set(range(count)) for key, count in wrong.items()}
    rounded = list(stored.make_pointwise(fooled, 20))
    for other, panels in (
        (wrong, ["fgsm"]),
        ({**wrong, ("square", SMALL): 3}, ["fgsm", "square", "worst case"]),
    ):
        runs = load(
            tmp_path / panels[-1],
            {"wrong": wrong, "stored": rounded},
            {"wrong": other},
        )
        header = comparison_page.format_comparison(runs).splitlines()[0]
        assert "| worst case, 8-bit 4/255 |" in header
        assert ("| worst case 4/255 |" in header) == (panels[-1] != "fgsm")
        assert comparison_page.draw_comparison(runs, tmp_path / "compare.png")
        assert drawn.pop() == panels


def test_earlier_versions_cannot_prove_what_they_belong_to(tmp_path):
    runs = load(tmp_path, {"identity": {}}, {})
    assert comparison.differences(runs) == [
        "a: stored by an earlier version, it cannot prove to which images and "
        "to which network its figures belong"
    ]
    assert len(comparison.paired(runs)) == 1


def test_other_images_are_told_by_their_fingerprint(tmp_path):
    runs = load(tmp_path, {}, {"identity": {"images": "4567"}})
    assert comparison.differences(runs) == [
        "fingerprint of the images differs: 0123 (a); 4567 (b)"
    ]
    assert comparison.paired(runs) == []


def test_norms_have_columns_of_their_own(tmp_path):
    wrong = {("clean", 0.0): 2, ("pgd-10", 0.5): 8}
    runs = load(tmp_path, {"wrong": wrong}, {"wrong": wrong, "norm": "l2"})
    text = comparison_page.format_comparison(runs)
    header = text.splitlines()[0]
    assert "| clean | pgd-10 0.5 l2 | pgd-10 0.5 linf |" in header
    assert "- warning: norm differs: linf (a); l2 (b)" in text
    # Radii of two kinds fit on no axis, and balls into no pair.
    assert not comparison_page.draw_comparison(runs, tmp_path / "compare.png")
    assert comparison.paired(runs) == []


@pytest.mark.parametrize(
    ("contents", "line"),
    [
        ({"labels": LABELS[:16]}, "number of images differs: 20 (a); 16 (b)"),
        ({"dataset": {"split": "validation"}},
         "split differs: test (a); validation (b)"),
        ({"dataset": {"name": "digits"}},
         "data set differs: cifar10 from a download (a); digits from a "
         "download (b)"),
        ({"protocol": "final"},
         "protocol of fgsm differs: worst (a); final (b), at 4/255, 8/255"),
        ({"seed": 3}, "seed differs: 0 (a); 3 (b)"),
        ({"stage": {"num_restarts": 5}},
         "num_restarts of pgd-10 differs: 1 (a); 5 (b), at 4/255, 8/255"),
        ({"stage": {"random_start": False}},
         "random_start of pgd-10 differs: True (a); False (b), at 4/255, "
         "8/255"),
        ({"stage": {"loss": "dlr"}},
         "loss of fgsm differs: cross_entropy (a); dlr (b), at 4/255, 8/255"),
        ({"labels": LABELS[::-1]}, "checksum of the labels differs: "),
        ({"complete": False}, "b is INCOMPLETE"),
        ({"wrong": {("clean", 0.0): 2, ("fgsm", SMALL): 8}},
         "list of attacks differs: fgsm, pgd-10 (a); fgsm (b)"),
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_accuracies_incomparable_is_told(tmp_path, contents, line):
    found = comparison.differences(load(tmp_path, {}, contents))
    assert any(each.startswith(line) for each in found), found


def test_step_sizes_are_told_as_multiples_of_eps(tmp_path):
    runs = load(tmp_path, {}, {})
    evaluation = runs["b"].evaluation
    (stage,) = evaluation.results[-1].stages
    smaller = dataclasses.replace(
        stage, settings={**stage.settings, "step_ratio": 0.05}
    )
    evaluation.results[-1] = dataclasses.replace(
        evaluation.results[-1], stages=(smaller,)
    )
    assert comparison.differences(runs) == [
        "step_size of pgd-10 differs: 0.1 eps (a); 0.05 eps (b), at 8/255"
    ]


def test_runs_that_agree_are_named_together(tmp_path):
    audit = [Check("noise", "PASS", {}, "fine")]
    runs = load(tmp_path, {}, {"wrong": STRONG, "audit": audit}, {"seed": 1})
    assert comparison.differences(runs) == ["seed differs: 0 (a, b); 1 (c)"]
    assert comparison.differences(load(tmp_path / "more", {}, {})) == []


@pytest.mark.parametrize(
    ("counts", "p_value"),
    [
        ((0, 0), 1.0),
        ((3, 3), 1.0),
        ((5, 0), 2 / 2**5),
        # Twice the tail of a fair coin, thrown twelve times.
        ((10, 2), 2 * (1 + 12 + 66) / 2**12),
        ((2, 10), 2 * (1 + 12 + 66) / 2**12),
    ],
)
def test_p_values_are_exact(counts, p_value):
    assert mcnemar(*counts) == pytest.approx(p_value)


def test_pairs_are_compared_image_by_image(tmp_path):
    runs = load(tmp_path, {}, {"wrong": STRONG}, {"masks": False})
    p_small, p_large = (mcnemar(0, n) for n in (4, 9))
    assert comparison.paired(runs) == [
        f"a and b: clean: 2 and 0, p = 0.5; "
        f"worst case 4/255: 0 and 4, p = {p_small:.2g}; "
        f"worst case 8/255: 0 and 9, p = {p_large:.2g}"
    ]
    assert "a and b: clean" in comparison_page.format_comparison(runs)


def test_pairs_are_judged_by_the_attacks_that_both_underwent(tmp_path):
    more = {**WEAK, ("square", SMALL): 20}
    (line,) = comparison.paired(load(tmp_path, {}, {"wrong": more}))
    assert line.endswith("worst case 8/255: 0 and 0, p = 1")


def test_pairs_need_the_same_images(tmp_path):
    runs = load(tmp_path, {}, {"labels": LABELS[::-1]}, {"labels": LABELS[:16]})
    assert comparison.paired(runs) == []


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/run", "y/run"], ["x/run", "y/run"]),
        (["x/run", "y/other"], ["run", "other"]),
        (["run", "x/run"], [None, "x/run"]),
        (["x/1/run", "y/1/run", "y/2/run"], ["x/1/run", "y/1/run", "2/run"]),
    ],
)
def test_equal_folder_names_are_told_apart(tmp_path, paths, names):
    for path in paths:
        store(tmp_path / path)
    found = list(comparison.load([tmp_path / path for path in paths]))
    for name, label in zip(names, found, strict=True):
        assert label == (name or f"{tmp_path.name}/run")


def test_a_folder_can_be_given_once(tmp_path):
    store(tmp_path / "run")
    with pytest.raises(UsageError, match="twice"):
        comparison.load([tmp_path / "run", tmp_path / "x" / ".." / "run"])


def test_csv_holds_every_accuracy(tmp_path):
    runs = load(tmp_path, {}, {"wrong": STRONG, "seed": 4})
    rows = list(csv.DictReader(io.StringIO(comparison_page.to_csv(runs))))
    assert len(rows) == 2 * (len(WEAK) + 2)
    found = {(r["run"], r["attack"], float(r["eps"])): r for r in rows}
    row = found["b", "pgd-10", LARGE]
    assert float(row["accuracy"]) == 13 / 20
    assert float(row["accuracy_low"]) == wilson(13, 20)[0]
    assert (row["num_correct"], row["num_images"]) == ("13", "20")
    assert (row["seed"], row["audit"]) == ("4", "audit: not run")
    assert float(found["a", "worst case", SMALL]["accuracy"]) == 11 / 20


def test_clean_accuracies_alone_are_compared_without_a_figure(tmp_path):
    wrong = {("clean", 0.0): 2}
    runs = load(tmp_path, {"wrong": wrong}, {"wrong": {("clean", 0.0): 5}})
    assert not comparison_page.draw_comparison(runs, tmp_path / "compare.png")
    assert "clean: 3 and 0, p = 0.25" in comparison_page.format_comparison(runs)
