"""Attacks by name: what is understood, what is refused."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest

from tfgan_robust.attacks.apgd import APGD
from tfgan_robust.attacks.fab import FAB
from tfgan_robust.attacks.noise import Noise
from tfgan_robust.attacks.pgd import PGD
from tfgan_robust.attacks.plan import (
    AttackPlan,
    Stage,
    follows_gradient,
    for_classes,
    is_usual,
    parse_attack,
    transferred,
)
from tfgan_robust.attacks.pma import PMA
from tfgan_robust.attacks.square import Square
from tfgan_robust.attacks.table import ATTACKS, AttackRow, known_attacks
from tfgan_robust.errors import UsageError

NAMES = (
    "fgsm", "noise", "pgd-20", "pgd-20-margin", "pgd-20-dlr", "pgd-20-t",
    "pgd-20-margin-t", "pgd-20-dlr-t", "apgd-ce", "apgd-dlr", "apgd-t",
    "apgd-ce-30", "apgd-t-30", "fab-t", "fab-t-30", "square", "square-1000",
    "pma", "pma-30", "autoattack", "autoattack-fast", "generators",
)  # fmt: skip


def only_stage(name, **options):
    (stage,) = parse_attack(name, **options).stages
    return stage


def built(name, **options):
    plan = parse_attack(name, **options)
    (stage,) = plan.stages
    return stage.build(plan)


def test_fgsm_is_one_step_of_eps_from_the_image():
    given = {"step_size": 0.5, "num_restarts": 3, "momentum": 0.9}
    assert built("fgsm", **given) == PGD(1, step_ratio=1.0, random_start=False)
    assert only_stage("fgsm", **given).num_restarts == 1


def test_pgd_keeps_what_it_is_given():
    plan = parse_attack(
        "pgd-20-margin",
        step_size=0.01,
        random_start=True,
        num_restarts=5,
        momentum=0.75,
        protocol="final",
        norm="l2",
    )
    settings = {"num_steps": 20, "loss": "margin", "step_size": 0.01}
    settings |= {"random_start": True, "momentum": 0.75}
    stage = Stage("pgd-20-margin", "pgd", settings, num_restarts=5)
    assert plan == AttackPlan("pgd-20-margin", (stage,), "final", "l2")
    assert stage.build(plan) == PGD(
        20, 0.01, loss="margin", norm="l2", momentum=0.75, protocol="final"
    )
    assert stage.described == {**settings, "num_restarts": 5}


@pytest.mark.parametrize(
    ("name", "attack", "targets"),
    [
        ("noise", Noise(), 0),
        ("pgd-1", PGD(1, step_ratio=2.5), 0),
        ("pgd-10", PGD(10, step_ratio=0.25), 0),
        ("pgd-10-margin", PGD(10, step_ratio=0.25, loss="margin"), 0),
        ("pgd-10-dlr", PGD(10, step_ratio=0.25, loss="dlr"), 0),
        ("pgd-10-t", PGD(10, step_ratio=0.25, targeted=True), 9),
        (
            "pgd-10-dlr-t",
            PGD(10, step_ratio=0.25, loss="dlr", targeted=True),
            9,
        ),
        ("apgd-ce", APGD(100, "cross_entropy"), 0),
        ("apgd-dlr", APGD(100, "dlr"), 0),
        ("apgd-t", APGD(100, "dlr", targeted=True), 9),
        ("apgd-t-20", APGD(20, "dlr", targeted=True), 9),
        ("fab-t", FAB(100), 9),
        ("fab-t-20", FAB(20), 9),
        ("square", Square(5000), 0),
        ("square-1000", Square(1000), 0),
        ("pma", PMA(100), 0),
        ("pma-20", PMA(20), 0),
        ("pma-rival", PMA(100, "rival"), 0),
        ("pma-rival-20", PMA(20, "rival"), 0),
    ],
)
def test_each_name_is_one_attack(name, attack, targets):
    stage = only_stage(name)
    assert stage.name == name and built(name) == attack
    assert stage.num_targets == targets and stage.num_restarts == 1
    assert stage.described.get("num_targets", 0) == targets


def test_autoattack_is_its_four_attacks_with_their_published_budgets():
    """arXiv:2003.01690, section 5: 100 steps, 9 targets, 5,000 queries."""
    plan = parse_attack("autoattack")
    names = ("apgd-ce", "apgd-t", "fab-t", "square")
    assert tuple(stage.name for stage in plan.stages) == names
    for stage, name in zip(plan.stages, names, strict=True):
        if name != "square":
            assert stage == only_stage(name)
    # AutoAttack shrinks its squares as for 10,000 queries.
    assert plan.stages[-1].build(plan) == Square(5000, rescaled=False)
    fast = parse_attack("autoattack-fast")
    assert fast.stages == plan.stages[:2]
    assert plan.protocol == fast.protocol == "worst"


def test_autoattack_is_the_same_whatever_pgd_is_given():
    given = {"step_size": 0.1, "num_restarts": 3, "momentum": 0.5}
    assert parse_attack("autoattack", **given) == parse_attack("autoattack")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_known_and_usual(name):
    plan = parse_attack(name)
    assert plan.name == name and plan.norm == "linf" and not plan.transfer
    assert plan.protocol == "worst"
    assert is_usual(plan)
    json.dumps(dataclasses.asdict(plan))  # As results and progress keep it.


def test_the_list_of_known_attacks_names_them_all():
    for name in NAMES:
        stem = re.match(r"[a-z]+(-ce|-dlr|-t|-fast)?", name)[0]
        assert stem in known_attacks()


@pytest.mark.parametrize(
    "name",
    ["", "pgd", "pgd-", "pgd--1", "pgd-1.5", "pgd-ten", "PGD-10", "fgsm-1",
     "cw", "pgd-10-2", " pgd-10", "pgd-10-ce", "pgd-10-t-dlr", "apgd",
     "apgd-x", "apgd-ce-t", "fab", "square-", "square-1-2", "autoattack-100",
     "noise-3", "clean", "generators-2", "pgd-10\n", "transfer-pgd-10"],
)  # fmt: skip
def test_unknown_attacks_are_refused_by_name(name):
    with pytest.raises(UsageError) as error:
        parse_attack(name)
    assert f"Known attacks are {known_attacks()}." in str(error.value)
    assert f"Received: {name or 'nothing'}" in str(error.value)


@pytest.mark.parametrize("name", ["pgd-0", "apgd-ce-0", "fab-t-00", "square-0"])
def test_attacks_without_a_step_are_refused(name):
    with pytest.raises(UsageError, match=f"from 1 to 1,000,000 steps.*{name}"):
        parse_attack(name)


def test_unknown_protocols_and_norms_are_refused():
    with pytest.raises(UsageError, match="one of final, worst.*best"):
        parse_attack("fgsm", protocol="best")
    with pytest.raises(UsageError, match="one of linf, l2.*l1"):
        parse_attack("fgsm", norm="l1")


def test_unknown_options_are_refused_by_name():
    with pytest.raises(UsageError, match="`options` must be.*Received: steps"):
        parse_attack("pgd-10", steps=3)


def test_restarts_from_one_point_are_refused():
    with pytest.raises(UsageError, match="Received: 2 restarts"):
        parse_attack("pgd-10", random_start=False, num_restarts=2)


@pytest.mark.parametrize(
    "given",
    [
        {"step_size": 0.0},
        {"step_size": -0.1},
        {"step_size": float("nan")},
        {"step_sizes": (0.5, 0.0)},
        {"step_sizes": (-1.0,)},
    ],
)
def test_steps_of_no_size_are_refused(given):
    (name,) = given
    with pytest.raises(UsageError, match=f"`{name}` must be positive. Rec"):
        parse_attack("pgd-10", **given)


@pytest.mark.parametrize(
    "name",
    [
        "fgsm",
        "noise",
        "pgd-10",
        "pgd-10-dlr-t",
        "apgd-ce",
        "apgd-t-10",
        "autoattack-fast",
    ],
)
def test_some_attacks_know_the_l2_norm(name):
    plan = parse_attack(name, norm="l2")
    assert plan.norm == "l2" and not is_usual(plan)


@pytest.mark.parametrize(
    "name",
    ["fab-t", "square", "pma", "autoattack", "generators"],
)
def test_others_refuse_the_l2_norm(name):
    with pytest.raises(
        UsageError,
        match=f"{name} knows the L-inf.*use fgsm, noise, .* or apgd-t",
    ):
        parse_attack(name, norm="l2")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("fgsm", "final"), ("pgd-5", "final"), ("pgd-5-t", "final"),
        ("noise", "worst"), ("apgd-ce", "worst"), ("fab-t", "worst"),
        ("square", "worst"), ("autoattack", "worst"), ("generators", "worst"),
    ],
)  # fmt: skip
def test_only_pgd_and_fgsm_have_a_final_iterate(name, kept):
    assert parse_attack(name, protocol="final").protocol == kept


def test_step_sizes_are_stages_of_their_own():
    plan = parse_attack("pgd-10", step_sizes=(0.1, 0.5, 2))
    assert plan.name == "pgd-10" and not is_usual(plan)
    assert [stage.name for stage in plan.stages] == [
        f"pgd-10 step {ratio} eps" for ratio in (0.1, 0.5, 2)
    ]
    for stage, ratio in zip(plan.stages, (0.1, 0.5, 2), strict=True):
        assert stage.build(plan) == PGD(10, step_ratio=ratio)


def test_one_step_size_or_several():
    with pytest.raises(UsageError, match="either `step_size` or `step_sizes`"):
        parse_attack("pgd-10", step_size=0.1, step_sizes=(0.1,))


def test_other_parameters_make_a_plan_unusual():
    for given in (
        {"step_size": 0.01},
        {"random_start": False},
        {"num_restarts": 2},
        {"momentum": 0.5},
        {"protocol": "final"},
    ):
        assert not is_usual(parse_attack("pgd-10", **given))


def test_pgd_and_fgsm_can_follow_another_network():
    for name in ("fgsm", "pgd-10", "pgd-10-margin-t"):
        plan = parse_attack(name, protocol="final", norm="l2")
        moved = transferred(plan)
        assert moved.name == f"transfer-{name}" and moved.transfer
        assert (moved.stages, moved.protocol, moved.norm) == (
            plan.stages, "final", "l2",
        )  # fmt: skip
        assert not is_usual(moved)


@pytest.mark.parametrize(
    "name", ["noise", "apgd-ce", "fab-t", "square", "autoattack", "generators"]
)
def test_no_other_attack_can_be_transferred(name):
    assert transferred(parse_attack(name)) is None


@pytest.mark.parametrize(
    ("classes", "targets", "untargeted", "targeted"),
    [
        (2, 1, "margin", "margin"),
        (3, 2, "dlr", "margin"),
        (4, 3, "dlr", "dlr"),
        (10, 9, "dlr", "dlr"),
        (100, 9, "dlr", "dlr"),
    ],
)
def test_few_classes_have_few_targets_and_no_dlr(
    classes, targets, untargeted, targeted
):
    plan = for_classes(parse_attack("autoattack"), classes)
    aimed = [stage.num_targets for stage in plan.stages]
    assert aimed == [0, targets, targets, 0]
    losses = [stage.settings.get("loss") for stage in plan.stages]
    assert losses == ["cross_entropy", targeted, None, None]
    (stage,) = for_classes(parse_attack("apgd-dlr"), classes).stages
    assert stage.settings["loss"] == untargeted
    assert plan.name == "autoattack"


def test_needs_no_tensorflow():
    code = (
        "import sys, tfgan_robust.attacks.plan;"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fgsm", True), ("pgd-3-t", True), ("apgd-t", True), ("fab-t", True),
        ("autoattack-fast", True), ("autoattack", False), ("square", False),
        ("noise", False), ("generators", False), ("transfer-pgd-3", False),
    ],
)  # fmt: skip
def test_some_attacks_follow_the_gradient(name, expected):
    assert follows_gradient(name) == expected


@dataclasses.dataclass(frozen=True)
class Mine:
    """Somebody's attack."""

    reach: int
    norm: str
    kind: str = "a"


@pytest.fixture
def mine(monkeypatch):
    monkeypatch.setattr(ATTACKS, "_rows", dict(ATTACKS))
    ATTACKS.add(
        "mine",
        AttackRow(
            pattern=r"mine(?:-(?P<reach>\d+))?(?:-(?P<kind>[ab]))?",
            help="mine[-<reach>][-a|-b]",
            attack=Mine,
            settings={"reach": 7},
            takes=("norm", "num_restarts"),
            norms=("linf", "l2"),
        ),
    )


def test_a_row_is_all_that_an_attack_takes(mine):
    assert "mine[-<reach>][-a|-b]" in known_attacks()
    assert built("mine") == Mine(7, "linf")
    assert built("mine-3-b", norm="l2") == Mine(3, "l2", "b")
    stage = only_stage("mine-3", num_restarts=2)
    assert stage.described == {"reach": 3, "num_restarts": 2}
    with pytest.raises(UsageError, match="from 1 to 1,000,000 steps.*mine-0"):
        parse_attack("mine-0")
    with pytest.raises(UsageError, match=r"mine-3-c\.$"):
        parse_attack("mine-3-c")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"reach": 1, "far": 3}, "unexpected keyword argument 'far'"),
        ({}, "'reach'"),
    ],
)
def test_settings_must_fit_the_class(mine, settings, told):
    stage = Stage("mine", "mine", settings)
    with pytest.raises(UsageError, match=f"`settings` must fit.*{told}"):
        stage.build(AttackPlan("mine", (stage,)))


@pytest.mark.parametrize("digits", [8, 400, 5000])
def test_more_steps_than_anybody_takes_are_refused(digits):
    with pytest.raises(UsageError) as error:
        parse_attack(f"pgd-{'9' * digits}")
    message = str(error.value)
    assert "from 1 to 1,000,000 steps. Received: pgd-99999999" in message
    assert len(message) < 200
