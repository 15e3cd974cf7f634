"""What is said of the paper's claims follows from the figures."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
claims = pytest.importorskip("experiments.claims")
directions = pytest.importorskip("experiments.directions")


def measured(*values, images=1000):
    return claims.Measured("it", values, images)


def row(accuracies, **columns):
    return {
        "images": 1000,
        "accuracy": [
            {"attack": attack, "eps": eps / 255, "accuracy": value}
            for (attack, eps), value in accuracies.items()
        ],
        **columns,
    }


def test_a_difference_must_exceed_the_interval_and_the_spread_of_seeds():
    # The 95 % interval of the difference of two halves of 1,000: 4.38 points.
    noise = 1.96 * 100 * math.sqrt(2 * 0.25 / 1000)
    assert claims.compare(measured(50), measured(50 - noise - 0.1)) == 1
    assert claims.compare(measured(50 - noise - 0.1), measured(50)) == -1
    assert claims.compare(measured(50), measured(50 - noise + 0.1)) == 0
    far = measured(40, 60, images=10**6)
    assert claims.compare(far, measured(35, 35, images=10**6)) == 0


def formulations(**pgd):
    """Rows of the paper's settings with these accuracies under PGD."""
    return {
        "rows": [
            row(
                {("clean", 0): 0.8, ("pgd-100", 8): value},
                **{"formulation": name, "settings by": "paper"},
            )
            for name, value in pgd.items()
        ]
    }


@pytest.mark.parametrize(
    ("values", "defended", "helped"),
    [
        ((0.3, 0.3, 0.5, 0.5), claims.AGREES, claims.AGREES),
        ((0.0, 0.0, 0.5, 0.5), claims.DISAGREES, claims.AGREES),
        ((0.5, 0.3, 0.31, 0.5), claims.AGREES, claims.DISAGREES),
        ((0.5, 0.3, 0.49, 0.5), claims.AGREES, claims.UNCLEAR),
    ],
)
def test_claims_on_formulations(values, defended, helped):
    names = ("x", "xz", "grad", "grad_x")
    stored = formulations(baseline=0.0, **dict(zip(names, values, strict=True)))
    by_text = {claim.text: claim for claim in claims.CLAIMS}
    results = {"formulations": stored}
    for text, verdict in (
        ("All formulations improve", defended),
        ("Formulations with the gradient are", helped),
    ):
        (claim,) = (c for t, c in by_text.items() if t.startswith(text))
        assert claim.judge(results).verdict == verdict


def test_what_was_not_measured_is_said():
    for claim in claims.CLAIMS:
        assert claim.judge({}).verdict == claims.UNKNOWN
        empty = {claim.experiment: {"rows": [], "directions": {}}}
        if claim.experiment not in ("directions", "efficiency"):
            assert claim.judge(empty).verdict == claims.UNKNOWN


def test_ablations_that_close_the_gap_are_named():
    def pair(variant, training, test):
        return [
            row({("clean", 0): training}, variant=variant, split="training"),
            row({("clean", 0): test}, variant=variant, split="test"),
        ]

    rows = pair("paper", 0.9, 0.7) + pair("none", 0.7, 0.7)
    rows += pair("same", 0.9, 0.71) + pair("worse", 1.0, 0.6)
    found = claims.explanations({"rows": rows})
    assert [(name, round(gap), change) for name, gap, change in found] == [
        ("paper", 20, "-"),
        ("none", 0, "less"),
        ("same", 19, claims.UNCLEAR),
        ("worse", 40, "more"),
    ]


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
    found = directions.crossings(lengths, logits, np.array([0, 0]))
    assert found[0] == pytest.approx(0.5)
    assert np.isnan(found[1])
