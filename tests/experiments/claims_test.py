"""What is said of the paper's claims follows from the figures."""

import itertools

import numpy as np
import pytest

from experiments import walk
from experiments.findings import comparisons, intervals, marks
from experiments.findings.claims import every, overfitting

count = itertools.count()


def row(accuracies, images=1000, **columns):
    return {
        "trial": f"trial/{next(count)}-0",
        "seed": 0,
        "checkpoint": "last",
        "split": "test",
        "epochs": 100,
        "images": images,
        "classes": 10,
        "accuracy": [
            {"attack": attack, "eps": eps / 255, "accuracy": value}
            for (attack, eps), value in accuracies.items()
        ],
        **columns,
    }


def verdict(start, results):
    """Of the claim whose text starts so."""
    claims = (*every.CLAIMS, *every.QUESTIONS)
    (claim,) = (c for c in claims if c.text.startswith(start))
    return claim.judge(results).verdict


def formulations(clean=0.8, attack="pgd-100", eps=8, **accuracies):
    """Rows of the paper's settings with these accuracies under an attack."""
    return {
        "rows": [
            row(
                {("clean", 0): clean, (attack, eps): value},
                **{"formulation": name, "settings by": "paper"},
                split="test",
            )
            for name, value in accuracies.items()
        ]
    }


NAMES = ("x", "xz", "grad", "grad_x")


@pytest.mark.parametrize(
    ("values", "defended", "helped"),
    [
        ((0.3, 0.3, 0.5, 0.5), intervals.AGREES, intervals.AGREES),
        ((0.0, 0.0, 0.5, 0.5), intervals.DISAGREES, intervals.AGREES),
        ((0.5, 0.3, 0.31, 0.5), intervals.AGREES, intervals.DISAGREES),
        ((0.5, 0.3, 0.49, 0.5), intervals.AGREES, intervals.UNCLEAR),
        # More than nothing, and less than a constant answer, is no defence.
        ((0.05, 0.3, 0.5, 0.5), intervals.DISAGREES, intervals.AGREES),
        # Nobody knows whether this is more.
        ((0.1, 0.1, 0.5, 0.5), intervals.UNCLEAR, intervals.AGREES),
        ((0.11, 0.12, 0.5, 0.5), intervals.UNCLEAR, intervals.AGREES),
        ((0.1, 0.1, 0.02, 0.03), intervals.DISAGREES, comparisons.UNKNOWN),
    ],
)
def test_claims_on_formulations(values, defended, helped):
    stored = formulations(baseline=0.0, **dict(zip(NAMES, values, strict=True)))
    results = {"formulations": stored}
    assert verdict("All formulations improve", results) == defended
    assert verdict("Formulations with the gradient are", results) == helped


@pytest.mark.parametrize(
    ("values", "defended", "helped"),
    [
        ((0.3, 0.3, 0.5, 0.5), intervals.DISAGREES, intervals.AGREES),
        ((0.3, 0.3, 0.2, 0.2), intervals.DISAGREES, intervals.DISAGREES),
        ((0.05, 0.05, 0.05, 0.05), intervals.DISAGREES, comparisons.UNKNOWN),
    ],
)
def test_it_must_hold_at_each_radius_that_says_something(
    values, defended, helped
):
    stored = formulations(baseline=0.0, **dict.fromkeys(NAMES, 0.05))
    for each in stored["rows"]:
        name = each["formulation"]
        value = {"baseline": 0.0, **dict(zip(NAMES, values, strict=True))}[name]
        each["accuracy"] += row({("pgd-100", 4): value})["accuracy"]
    results = {"formulations": stored}
    assert verdict("All formulations improve", results) == defended
    assert verdict("Formulations with the gradient are", results) == helped


@pytest.mark.parametrize(
    "claim",
    [
        "grad_x has the lowest",
        "grad and grad_x perform alike",
        "Formulations with the gradient have lower clean",
        "The baseline is more accurate",
    ],
)
def test_what_learned_nothing_is_not_compared_while_clean(claim):
    stored = formulations(clean=0.1, **dict.fromkeys(NAMES, 0.1))
    stored["rows"] += formulations(clean=0.8, baseline=0.0)["rows"]
    assert verdict(claim, {"formulations": stored}) == comparisons.UNKNOWN


def test_clean_accuracies_are_compared_one_by_one():
    rows = [
        formulations(clean=clean, **{name: 0.3})["rows"][0]
        for name, clean in zip(
            ("baseline", *NAMES), (0.8, 0.7, 0.71, 0.6, 0.5), strict=True
        )
    ]
    results = {"formulations": {"rows": rows}}
    for claim in ("The baseline is more", "grad_x has the lowest"):
        assert verdict(claim, results) == intervals.AGREES
    claim = "Formulations with the gradient have lower clean"
    assert verdict(claim, results) == intervals.AGREES
    rows[3]["accuracy"][0]["accuracy"] = 0.78
    assert verdict(claim, results) == intervals.DISAGREES
    assert verdict("grad_x has the lowest", results) == intervals.AGREES


def test_with_the_image_alone_one_step_leaves_more_at_16():
    stored = formulations(eps=16, **dict.fromkeys(NAMES, 0.2))
    for each in stored["rows"]:
        each["accuracy"] += row({("fgsm", 16): 0.3})["accuracy"]
    results = {"formulations": stored}
    claim = "With the image alone, PGD finds more"
    assert verdict(claim, results) == intervals.AGREES
    stored["rows"][0]["accuracy"][1]["accuracy"] = 0.4
    assert verdict(claim, results) == intervals.DISAGREES


def test_seeds_of_other_experiments_keep_one_seed_from_saying_too_much():
    values = dict(zip(NAMES, (0.3, 0.3, 0.36, 0.36), strict=True))
    results = {"formulations": formulations(baseline=0.0, **values)}
    for each in results["formulations"]["rows"]:
        each["images"] = 10**6
    assert (
        verdict("Formulations with the gradient are", results)
        == intervals.AGREES
    )
    repeated = [
        row(
            {("pgd-20", 8): value}, trial=f"efficiency/gan-10-{seed}",
            seed=seed, split="validation", checkpoint="last",
        )
        for seed, value in enumerate((0.2, 0.24, 0.28))
    ]  # fmt: skip
    results["efficiency"] = {"rows": repeated}
    assert (
        verdict("Formulations with the gradient are", results)
        == intervals.UNCLEAR
    )


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ((0.01, 0.2), intervals.AGREES),
        ((0.01, 0.02), intervals.UNCLEAR),
        ((0.2, 0.01), intervals.DISAGREES),
    ],
)
def test_the_gap_of_attacks_has_an_interval(gaps, expected):
    near, far = gaps
    rows = [
        row(
            {
                ("clean", 0): 0.8,
                ("fgsm", 4): 0.5,
                ("pgd-100", 4): 0.5 - near,
                ("fgsm", 16): 0.4,
                ("pgd-100", 16): 0.4 - far,
            },
            **{"formulation": name, "settings by": "paper"},
            split="test",
        )
        for name in ("grad", "grad_x")
    ]
    results = {"formulations": {"rows": rows}}
    claim = "With gradient inputs, PGD gains"
    assert verdict(claim, results) == expected
    # Where FGSM leaves nothing at last, it cannot be far away from PGD.
    rows[0]["accuracy"][3]["accuracy"] = 0.05
    far = expected == intervals.AGREES
    rows[0]["accuracy"][4]["accuracy"] = 0.0
    assert (verdict(claim, results) == comparisons.UNKNOWN) or far
    # Where PGD leaves nothing at once, nor can FGSM get further from it.
    rows[0]["accuracy"][2]["accuracy"] = 0.01
    assert verdict(claim, results) == comparisons.UNKNOWN


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (0.2, intervals.DISAGREES),
        (0.39, intervals.UNCLEAR),
        (None, comparisons.UNKNOWN),
    ],
)
def test_autoattack_says_whether_pgd_was_enough(attack, expected):
    stored = formulations(**dict.fromkeys(NAMES, 0.4))
    for each in stored["rows"]:
        if attack is not None:
            each["accuracy"] += row({("autoattack", 8): attack})["accuracy"]
    found = verdict("PGD of 100 iterations is enough", {"formulations": stored})
    assert found == expected


def test_what_was_not_measured_is_said():
    for claim in (*every.CLAIMS, *every.QUESTIONS):
        assert claim.judge({}).verdict == comparisons.UNKNOWN
        empty = {claim.experiment: {"rows": [], "directions": {}}}
        assert claim.judge(empty).verdict == comparisons.UNKNOWN


def pair(variant, training, test):
    """Rows of an ablation, on training and on test images."""
    return [
        row({("clean", 0): training}, variant=variant, split="training"),
        row({("clean", 0): test}, variant=variant, split="test"),
    ]


@pytest.mark.parametrize(
    ("accuracies", "expected", "baseline"),
    [
        ((0.9, 0.7), intervals.AGREES, intervals.DISAGREES),
        ((0.82, 0.71), intervals.UNCLEAR, intervals.DISAGREES),
        ((0.71, 0.7), intervals.DISAGREES, intervals.UNCLEAR),
    ],
)
def test_overfitting_has_an_interval(accuracies, expected, baseline):
    shares = dict(zip(("training", "test"), accuracies, strict=True))
    rows = [
        row(
            {("clean", 0): share},
            **{"formulation": name, "settings by": "paper", "split": split},
        )
        for name in ("baseline", *NAMES)
        for split, share in shares.items()
    ]
    results = {"formulations": {"rows": rows}}
    assert verdict("All defended classifiers overfit", results) == expected
    assert verdict("The undefended classifier does not", results) == baseline


def test_claims_say_what_is_smaller_than_the_papers():
    stored = formulations(eps=16, baseline=0.0, **dict.fromkeys(NAMES, 0.2))
    (claim,) = (c for c in every.CLAIMS if c.text.startswith("At 16/255"))
    for each in stored["rows"]:
        each["images"] = 5000
    same = claim.judge({"formulations": stored})
    assert (same.verdict, same.conditions) == (intervals.AGREES, "")
    for each in stored["rows"]:
        each["settings"] = {"classifier_width": 0.5, "train_images": 5000}
    found = claim.judge({"formulations": stored})
    assert found.verdict == comparisons.UNKNOWN
    assert found.conditions == "width 0.5, 5,000 training images"
    assert found.conditions in found.figures


def test_a_walk_says_itself_what_is_smaller_than_the_papers():
    never = np.full(10, np.nan)
    stored = overtaken(PGD=never, generator=never, FGSM=never)
    resolved = {"preset": "paper", "classifier_width": 0.125, "epochs": 200}
    stored["directions"] |= {"experiment": "directions", "resolved": resolved}
    (claim,) = (c for c in every.CLAIMS if c.experiment == "directions")
    assert claim.judge(stored).conditions == "width 0.125, 200 of 300 epochs"
    resolved["epochs"] = 300
    assert claim.judge(stored).conditions == "width 0.125"


@pytest.mark.parametrize(
    ("at_8", "expected"),
    [
        ((0.3, 0.2), intervals.AGREES),
        ((0.2, 0.3), intervals.DISAGREES),
        # A constant answer may do as well there: 4/255 decides.
        ((0.05, 0.06), intervals.AGREES),
    ],
)
def test_generators_are_compared_where_they_defend(at_8, expected):
    shares = dict(zip(("base", "one generator"), at_8, strict=True))
    at_4 = {"base": 0.5, "one generator": 0.4}
    rows = [
        row(
            {("pgd-100", 4): at_4[name], ("pgd-100", 8): share},
            variant=name, split="test",
        )
        for name, share in shares.items()
    ]  # fmt: skip
    results = {"ablations": {"rows": rows}}
    assert verdict("Two generators defend better", results) == expected


def test_ablations_that_close_the_gap_are_named():
    rows = pair("base", 0.9, 0.7) + pair("none", 0.7, 0.7)
    rows += pair("same", 0.9, 0.71) + pair("worse", 1.0, 0.6)
    rows += pair("constant", 0.1, 0.1)
    found = overfitting.explanations({"ablations": {"rows": rows}})
    assert [(e.variant, round(e.gap.middle), e.verdict) for e in found] == [
        ("base", 20, "-"),
        ("none", 0, "less"),
        ("same", 19, intervals.UNCLEAR),
        ("worse", 40, "more"),
        ("constant", 0, comparisons.UNKNOWN),
    ]
    assert found[-1].change is None


def test_what_does_not_overfit_is_not_asked_what_helps_against_it():
    rows = pair("base", 0.75, 0.72) + pair("one generator", 0.9, 0.7)
    results = {"ablations": {"rows": rows}}
    assert verdict("Two generators overfit", results) == intervals.AGREES
    rows = pair("base", 0.75, 0.72) + pair("one generator", 0.77, 0.72)
    results = {"ablations": {"rows": rows}}
    assert verdict("Two generators overfit", results) == comparisons.UNKNOWN


def test_what_learned_nothing_overfits_neither_less_nor_more():
    rows = pair("base", 0.9, 0.7) + pair("one generator", 0.1, 0.1)
    results = {"ablations": {"rows": rows}}
    assert verdict("Two generators overfit", results) == comparisons.UNKNOWN


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ((0.95, 0.6), intervals.AGREES),
        ((0.9, 0.71), intervals.UNCLEAR),
        ((0.75, 0.7), intervals.DISAGREES),
    ],
)
def test_weight_decay_that_closes_the_gap_helps(accuracies, expected):
    rows = pair("base", 0.9, 0.7) + pair("weight decay 0.0001", *accuracies)
    results = {"ablations": {"rows": rows}}
    assert verdict("Weight decay helps little", results) == expected
    rows[0]["accuracy"][0]["accuracy"] = 0.7
    # There is no overfitting that it might help against.
    claim = "Weight decay helps little"
    assert verdict(claim, results) == comparisons.UNKNOWN


def overtaken(**points):
    """Directions along which images are overtaken at these lengths."""
    return {
        "directions": {
            "rows": [],
            "directions": {},
            "resolved": {"eps": 16 / 255},
            "overtaken": {n: np.array(each) for n, each in points.items()},
        }
    }


def test_generators_lie_between_on_most_images_or_it_is_not_said():
    never = np.full(100, np.nan)
    one, two = np.full(100, 0.01), np.full(100, 0.02)
    between = overtaken(PGD=one, generator=two, FGSM=never)
    assert verdict("Along a generator's noise", between) == intervals.AGREES
    weaker = overtaken(PGD=one, generator=never, FGSM=two)
    assert verdict("Along a generator's noise", weaker) == intervals.DISAGREES
    # The medians are in order, by the accident of four images.
    chance = two + np.where(np.arange(100) < 52, 0.001, -0.001)
    close = overtaken(PGD=one, generator=two, FGSM=chance)
    assert verdict("Along a generator's noise", close) == intervals.UNCLEAR
    (claim,) = (c for c in every.CLAIMS if c.experiment == "directions")
    assert "FGSM never" in claim.judge(between).figures


def test_generators_are_known_by_their_names_in_efficiency():
    def reached(variant, accuracy, seed=0):
        # As settings are stored in full.
        return row(
            {("autoattack-fast", 8): accuracy}, variant=variant, budget=30,
            trial=f"efficiency/{variant}-{seed}", seed=seed, split="validation",
            checkpoint="last",
            settings={"method": "start", "formulation": "x"},
        )  # fmt: skip

    moving = "Generators that move images defend better"
    starting = "Generators that say where"
    rows = [reached("start x", 0.2), reached("start noise", 0.4)]
    results = {"efficiency": {"rows": rows}}
    assert verdict(starting, results) == intervals.DISAGREES
    # They are none of the paper's.
    assert verdict(moving, results) == comparisons.UNKNOWN
    # One lucky seed is not compared with two.
    rows += [reached("start x", 0.2, 1), reached("start noise", 0.4, 1)]
    rows.append(reached("start xz", 0.9))
    assert verdict(starting, results) == intervals.DISAGREES
    rows.append(reached("gan", 0.6))
    assert verdict(moving, results) == intervals.AGREES
    # In each time.
    other = [
        {**reached(name, share), "budget": 10}
        for name, share in (("start noise", 0.4), ("gan", 0.2))
    ]
    results["efficiency"]["rows"] = rows + other[:1]
    assert verdict(moving, results) == intervals.UNCLEAR
    results["efficiency"]["rows"] = rows + other
    assert verdict(moving, results) == intervals.DISAGREES
    # What the paper itself compares with.
    many = "Generators defend better than training against 7 steps"
    assert verdict(many, results) == comparisons.UNKNOWN
    slow = [
        {**reached("pgd-7", share), "budget": budget}
        for share, budget in ((0.1, 10), (0.4, 30))
    ]
    results["efficiency"]["rows"] = rows + other + slow
    assert verdict(many, results) == intervals.AGREES


def test_numbers_of_claims_are_those_that_the_paper_states():
    for start, name in (("At 16/255", "best at 16/255"), ("At 8/255", "at 8")):
        (claim,) = (c for c in every.CLAIMS if c.text.startswith(start))
        (value,) = (
            said["accuracy"]
            for key, said in marks.STATED["text"].items()
            if key.startswith(name)
        )
        assert f"about {value:g} %" in claim.text


def test_the_point_where_another_class_overtakes():
    lengths = np.array([-1.0, 0.0, 1.0, 2.0])
    # The margin is 2, 1, -1, -3: zero at 0.5. In the second it never is.
    logits = np.array(
        [
            [[2, 0], [1, 0], [0, 1], [0, 3]],
            [[0, 1], [1, 0], [1, 0], [1, 0]],
        ],
        np.float32,
    )
    found = walk.crossings(lengths, logits, np.array([0, 0]))
    assert found[0] == pytest.approx(0.5)
    assert np.isnan(found[1])
