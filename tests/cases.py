"""Which cases of a parametrized test repeat at length what another shows."""

import pytest


def slow(*cases):
    """Marks cases as slow, each a value or a tuple of values."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=pytest.mark.slow,
        )
        for case in cases
    ]


def all_slow_but(quick, cases):
    """Marks those of the cases as slow that are not among the quick ones."""
    assert set(quick) <= set(cases)
    return [
        marked
        for case in cases
        for marked in ([case] if case in quick else slow(case))
    ]
