"""Attacks by name: what is understood, what is refused."""

import subprocess
import sys

import pytest

from tfgan_robust.attack_plan import AttackPlan, parse_attack
from tfgan_robust.errors import UsageError


def test_fgsm_is_one_step_of_eps_from_the_image():
    plan = parse_attack("fgsm", step_size=0.5, num_restarts=3)
    assert (plan.num_steps, plan.num_restarts) == (1, 1)
    assert not plan.random_start
    assert plan.resolved_step_size(0.1) == 0.1


def test_pgd_keeps_what_it_is_given():
    plan = parse_attack(
        "pgd-20",
        step_size=0.01,
        random_start=True,
        num_restarts=5,
        protocol="worst",
    )
    assert plan == AttackPlan("pgd-20", 20, 0.01, True, 5, "worst")
    assert plan.resolved_step_size(0.1) == 0.01


@pytest.mark.parametrize(("steps", "ratio"), [(1, 2.5), (10, 0.25)])
def test_pgd_steps_by_two_and_a_half_radii_over_the_steps(steps, ratio):
    plan = parse_attack(f"pgd-{steps}")
    assert plan.num_steps == steps
    assert plan.resolved_step_size(0.2) == pytest.approx(ratio * 0.2)


@pytest.mark.parametrize(
    "name",
    ["", "pgd", "pgd-", "pgd-0", "pgd--1", "pgd-1.5", "pgd-ten", "PGD-10",
     "fgsm-1", "cw", "pgd-10-2", " pgd-10"],
)  # fmt: skip
def test_unknown_attacks_are_refused_by_name(name):
    with pytest.raises(UsageError, match="fgsm or pgd-<steps>") as error:
        parse_attack(name)
    assert f"Received: {name}" in str(error.value)


def test_unknown_protocols_are_refused():
    with pytest.raises(UsageError, match="one of final, worst.*best"):
        parse_attack("fgsm", protocol="best")


def test_restarts_from_one_point_are_refused():
    with pytest.raises(UsageError, match="Received: 2 restarts"):
        parse_attack("pgd-10", random_start=False, num_restarts=2)


def test_needs_no_tensorflow():
    code = (
        "import sys, tfgan_robust.attack_plan;"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
