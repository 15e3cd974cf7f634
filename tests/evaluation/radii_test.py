"""Radii of a command line."""

import pytest

from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.radii import eps_help, parse_eps, parse_length


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
        ("", "nothing"),
        ("8,", "nothing"),
        ("0", "0"),
        ("256", "256"),
        ("1.5", "1.5"),
        ("-8", "-8"),
        ("8/0", "8/0"),
        ("8/255/2", "8/255/2"),
        ("eight", "eight"),
        ("nan", "nan"),
        ("9" * 400, "9" * 60 + "..."),
        ("9" * 5000, "9" * 60 + "..."),
        ("1/" + "9" * 400, "1/" + "9" * 58 + "..."),
        ("inf", "inf"),
        ("4;8", "4;8"),
    ],
)
def test_other_radii_are_refused(text, received):
    with pytest.raises(UsageError, match="`eps` takes whole numbers") as error:
        parse_eps(text)
    assert f"Received: eps={received}." in str(error.value)


@pytest.mark.parametrize(
    ("text", "radii"),
    [("1", [1]), ("0.5,2", [0.5, 2]), ("128/255", [128 / 255])],
)
def test_euclidean_radii_are_as_they_stand(text, radii):
    assert parse_eps(text, "l2") == pytest.approx(radii, rel=1e-12)


@pytest.mark.parametrize("text", ["", "-1", "inf", "a"])
def test_other_euclidean_radii_are_refused(text):
    with pytest.raises(UsageError, match="`eps` takes positive numbers"):
        parse_eps(text, "l2")


@pytest.mark.parametrize("text", ["8,8/255", "0.1,0.2,0.10", "4,8,4"])
def test_a_radius_is_given_once(text):
    with pytest.raises(UsageError, match="each radius once. Received twice"):
        parse_eps(text)


def test_a_length_is_read_alike_whatever_it_is():
    for text in ("8", "8/255", "0.1"):
        (radius,) = parse_eps(text)
        assert parse_length("step_size", text, "linf") == radius
    assert parse_length("step_size", "2", "l2") == 2.0
    with pytest.raises(UsageError, match="`step_size` takes.*step_size=0"):
        parse_length("step_size", "0", "l2")


def test_the_help_names_the_defaults_of_the_data_sets():
    assert eps_help().endswith(
        "Default: 4,8,16; for digits 0.05,0.1,0.2; for norm=l2 0.25,0.5,1.0."
    )
