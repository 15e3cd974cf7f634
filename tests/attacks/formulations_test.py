"""Formulations against equations 6 to 9 of the paper.

What a generator is given is proved in `generators_test.py`.
"""

import pytest

from tfgan_robust.attacks.formulations import (
    FORMULATIONS,
    input_channels,
    sees_gradient,
)
from tfgan_robust.errors import UsageError


@pytest.mark.parametrize(
    ("name", "channels", "gradient"),
    [("x", 3, False), ("xz", 8, False), ("grad", 3, True), ("grad_x", 6, True)],
)
def test_the_papers_formulations(name, channels, gradient):
    assert input_channels(name, 3, 5) == channels
    assert sees_gradient(name) == gradient


@pytest.mark.parametrize("parts", [("image", "label"), ()])
def test_unknown_parts_are_refused(parts):
    FORMULATIONS.add("wrong", parts)
    try:
        with pytest.raises(UsageError, match="image, gradient, noise"):
            input_channels("wrong", 3, 1)
    finally:
        del FORMULATIONS._rows["wrong"]


def test_the_gradient_comes_first():
    FORMULATIONS.add("wrong", ("image", "gradient"))
    try:
        with pytest.raises(UsageError, match="comes first"):
            input_channels("wrong", 3, 1)
    finally:
        del FORMULATIONS._rows["wrong"]


def test_unknown_formulations_are_refused():
    with pytest.raises(UsageError, match="known are x, xz, grad, grad_x"):
        input_channels("y", 3, 1)
