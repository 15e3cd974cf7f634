"""Which cases of a parametrized test repeat at length what another shows."""

import pytest


def slow(*cases):
    """Marks cases as slow, each a value or a tuple of values."""
    return [_slow(case) for case in cases]


def all_slow_but(quick, cases):
    """Marks those of the cases as slow that are not among the quick ones."""
    assert set(quick) <= set(cases)
    return [case if case in quick else _slow(case) for case in cases]


def _slow(case):
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
