"""Radii as people write them."""

import pytest

from tfgan_robust.reports.radii import format_eps


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
