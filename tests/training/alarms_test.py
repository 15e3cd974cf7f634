"""Alarms on histories made for them: each fires, and not just below."""

import pytest

from tfgan_robust.training import alarms


def row(epoch, **figures):
    """A measurement of a healthy run, but for `figures`."""
    healthy = {
        "epoch": float(epoch),
        "train_mode_accuracy": 0.5,
        "inference_mode_accuracy": 0.5,
        "val_fgsm_accuracy": 0.4,
        "val_pgd_accuracy": 0.3,
    }
    return {**healthy, **figures}


IMAGES = 1000


def names(rows, images=IMAGES):
    return [alarm["name"] for alarm in alarms.raised(rows, images)]


def test_a_healthy_history_raises_nothing():
    rows = [
        row(n, val_fgsm_accuracy=0.3 + n / 20, val_pgd_accuracy=0.2 + n / 20)
        for n in range(1, 9)
    ]
    for length in range(len(rows) + 1):
        assert alarms.raised(rows[:length], IMAGES) == []


@pytest.mark.parametrize(
    ("training", "inference", "fires"),
    [
        (0.70, 0.54, True),
        (0.54, 0.70, True),
        (0.70, 0.56, False),
        (0.56, 0.70, False),
    ],
)
def test_modes_far_apart(training, inference, fires):
    newest = row(
        1, train_mode_accuracy=training, inference_mode_accuracy=inference
    )
    assert names([newest]) == (["modes_disagree"] if fires else [])
    assert names([newest, row(2)]) == []


@pytest.mark.parametrize(
    ("fgsm", "pgd", "fires"),
    [
        (0.45, 0.25, True),
        (0.423, 0.277, True),
        (0.417, 0.25, False),
        (0.45, 0.283, False),
        (0.45, 0.35, False),
        (0.35, 0.25, False),
    ],
)
def test_fgsm_rising_while_pgd_falls(fgsm, pgd, fires):
    rows = [
        row(1),
        row(2),
        row(3, val_fgsm_accuracy=fgsm, val_pgd_accuracy=pgd),
    ]
    expected = ["fgsm_rises_while_pgd_falls"] if fires else []
    assert names(rows) == expected
    # Two measurements are no trend yet.
    assert names(rows[1:]) == []


@pytest.mark.parametrize(
    ("pgd", "fires"),
    [
        ([0.30, 0.14], True),
        ([0.30, 0.16], False),
        # At a large radius there is little to lose.
        ([0.15, 0.0], True),
        ([0.17, 0.09, 0.01], True),
        ([0.10, 0.17, 0.09], False),
        # Half of the best, and yet a few images.
        ([0.010, 0.004], False),
        ([0.0, 0.0], False),
    ],
)
def test_pgd_below_half_of_its_best(pgd, fires):
    rows = [
        row(n, val_pgd_accuracy=value, val_fgsm_accuracy=0.4)
        for n, value in enumerate(pgd, 1)
    ]
    assert names(rows) == (["pgd_collapses"] if fires else [])


@pytest.mark.parametrize(("images", "fires"), [(32, False), (200, True)])
def test_few_images_are_no_collapse(images, fires):
    rows = [row(1), row(2, val_pgd_accuracy=0.125)]
    assert names(rows, images) == (["pgd_collapses"] if fires else [])


def test_several_alarms_come_together_with_their_figures():
    rows = [
        row(1),
        row(2),
        row(
            5,
            train_mode_accuracy=0.9,
            val_fgsm_accuracy=0.8,
            val_pgd_accuracy=0.0,
        ),
    ]
    raised = alarms.raised(rows, IMAGES)
    assert [alarm["name"] for alarm in raised] == [
        "modes_disagree",
        "fgsm_rises_while_pgd_falls",
        "pgd_collapses",
    ]
    assert {alarm["epoch"] for alarm in raised} == {5}
    modes, trend, collapse = (alarm["message"] for alarm in raised)
    assert "90.0%" in modes and "50.0%" in modes
    assert "40.0%" in trend and "30.0%" in trend and "epoch 1" in trend
    assert "30.0%" in collapse and "epoch 2" in collapse


def test_robustness_of_the_undefended_comes_and_goes_without_alarm():
    rows = [
        row(n, val_fgsm_accuracy=0.3 + n / 10, val_pgd_accuracy=0.5 - n / 4)
        for n in range(3)
    ]
    assert {a["name"] for a in alarms.raised(rows, IMAGES)} == {
        "fgsm_rises_while_pgd_falls",
        "pgd_collapses",
    }
    assert alarms.raised(rows, IMAGES, defended=False) == []
    apart = [row(1, train_mode_accuracy=0.9)]
    assert names(apart) == [
        alarm["name"] for alarm in alarms.raised(apart, IMAGES, defended=False)
    ]
