"""Radii of a command line."""

import pytest

from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.radii import eps_help, parse_eps


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
        ("", "nothing in eps="),
        ("8,", "nothing in eps=8,"),
        ("0", "0"),
        ("256", "256"),
        ("1.5", "1.5"),
        ("-8", "-8"),
        ("8/0", "8/0"),
        ("8/255/2", "8/255/2"),
        ("eight", "eight"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("4;8", "4;8"),
    ],
)
def test_other_radii_are_refused(text, received):
    with pytest.raises(UsageError, match=r"`eps` must list") as error:
        parse_eps(text)
    assert f"Received: {received}" in str(error.value)


def test_the_help_names_the_defaults_of_the_data_sets():
    assert eps_help().endswith(
        "Default: 4,8,16; for digits 0.05,0.1,0.2; for norm=l2 0.25,0.5,1.0."
    )
