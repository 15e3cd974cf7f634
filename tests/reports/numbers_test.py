"""Radii as people write them; Wilson intervals against published values."""

import math

import pytest

from tfgan_robust.errors import UsageError
from tfgan_robust.reports.numbers import check_eps, format_eps, wilson


@pytest.mark.parametrize(
    ("num_correct", "num_images", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(num_correct, num_images, low, high):
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    found = wilson(num_correct, num_images)
    assert found == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("num_correct", "num_images"), [(1, 3), (330, 1000)])
def test_ends_are_the_shares_that_the_count_rejects_just_so(
    num_correct, num_images
):
    share = num_correct / num_images
    for end in wilson(num_correct, num_images):
        deviation = math.sqrt(end * (1 - end) / num_images)
        assert abs(share - end) / deviation == pytest.approx(1.959964, abs=1e-5)


@pytest.mark.parametrize("num_images", [1, 7, 1000, 10**6])
def test_no_and_all_images(num_images):
    square = 1.959963984540054**2
    far = square / (num_images + square)
    assert wilson(0, num_images) == pytest.approx((0, far), abs=1e-12)
    assert wilson(num_images, num_images) == pytest.approx(
        (1 - far, 1), abs=1e-12
    )


@pytest.mark.parametrize("num_images", [1, 2, 30])
def test_intervals_hold_the_share_and_mirror_each_other(num_images):
    for num_correct in range(num_images + 1):
        low, high = wilson(num_correct, num_images)
        share = num_correct / num_images
        assert 0 <= low <= share + 1e-12
        assert share - 1e-12 <= high <= 1
        mirrored = wilson(num_images - num_correct, num_images)
        assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]))


def test_more_images_narrow_an_interval():
    widths = [high - low for low, high in (wilson(n, 2 * n) for n in (5, 50))]
    assert widths[0] > 2.5 * widths[1]


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


@pytest.mark.parametrize("eps", [0, 0.0, -0.1, 1.5, 8, float("nan")])
def test_radii_outside_the_pixel_scale_are_refused(eps):
    with pytest.raises(UsageError, match=r"in \(0, 1\].*Received: eps="):
        check_eps(eps)


@pytest.mark.parametrize("eps", [0, -1.0, float("inf"), float("nan")])
def test_euclidean_radii_are_positive_and_finite(eps):
    with pytest.raises(UsageError, match="positive and finite"):
        check_eps(eps, "l2")


def test_the_largest_radius_is_allowed_as_a_whole_number():
    check_eps(1)
    check_eps(8.0, "l2")
