"""Flags: the forms in which they are given, and their help."""

import dataclasses

import pytest

from tfgan_robust.cli.fields import setting
from tfgan_robust.cli.flags import Flags, Part, asks_for_help, fitting
from tfgan_robust.errors import UsageError
from tfgan_robust.registry import Registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    radius: float = setting(
        1 / 3, "Radius, 5% of it.", group="First", above=0, maximum=1
    )
    kind: str = setting("b", "Kind.", group="Second", choices=("a", "b"))
    steps: int | None = setting(
        None, "Steps.", group="First", minimum=1, unit="passes"
    )
    loud: bool = setting(False, "Loud.", group="Second")
    mirrored: bool | None = setting(None, "Mirrored.", group="Second")
    import_: str | None = setting(None, "A keyword.", group="Second")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folders:
    runs: tuple[str, ...] = setting(
        (), "Folders.", group="Folders", positional="RUN"
    )
    output: str | None = setting(None, "Where to.", group="Folders")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weak:
    weight: float = setting(0.5, "Weight.", group="Method")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strong(Weak):
    power: int = setting(3, "Power.", group="Method")


FLAGS = Flags([Part(Settings)], "Does nothing.")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["--radius=1/4"], {"radius": 0.25}),
        (["--radius", "0.5", "--steps", "3"], {"radius": 0.5, "steps": 3}),
        (["-radius=0.5", "-kind", "a"], {"radius": 0.5, "kind": "a"}),
        (["--radius=-1"], {"radius": -1.0}),
        (["--radius", "-1"], {"radius": -1.0}),
        (["--steps=none"], {"steps": None}),
        (["--steps=2", "--steps=3"], {"steps": 3}),
        (["--kind="], {"kind": ""}),
        (["--kind=x=y"], {"kind": "x=y"}),
        (["--loud"], {"loud": True}),
        (["--loud", "--steps=1"], {"loud": True, "steps": 1}),
        (["--loud=true"], {"loud": True}),
        (["--loud=False"], {"loud": False}),
        (["--noloud"], {"loud": False}),
        (["-noloud"], {"loud": False}),
        (["--mirrored"], {"mirrored": True}),
        (["--nomirrored"], {"mirrored": False}),
        (["--import=x"], {"import_": "x"}),
    ],
    ids=" ".join,
)  # fmt: skip
def test_flags_have_these_forms(arguments, given):
    assert FLAGS.parse(arguments) == given


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--radios=1", r"flag; did you mean --radius\? Received: --radios=1"),
        ("--quux", "no such flag; see --help. Received: --quux"),
        ("--rad=1", "no such flag"),
        ("-rad=1", "no such flag"),
        ("radius=1", "Every argument is a flag .* Received: radius=1"),
        ("--radius=wide", "`radius` must be a number .* radius=wide"),
        ("--radius", "--radius: expected one argument"),
        ("--steps=2.5", "a whole number. Received: steps=2.5"),
        ("--loud=very", "`loud` must be true or false"),
        ("--noloud=true", "noloud"),
        ("--nosteps", "no such flag"),
    ],
)
def test_other_arguments_are_refused(argument, message):
    with pytest.raises(UsageError, match=message):
        FLAGS.parse([argument])


def test_what_is_given_without_a_flag_may_stand_anywhere():
    flags = Flags([Part(Folders)])
    given = flags.parse(["a", "--output=c", "b"])
    assert given == {"runs": ("a", "b"), "output": "c"}
    with pytest.raises(UsageError, match="required: RUN"):
        flags.parse(["--output=c"])
    with pytest.raises(UsageError, match="--outputs=c"):
        flags.parse(["a", "--outputs=c"])


def test_unknown_arguments_can_be_left_alone():
    arguments = ["--other", "x", "--steps", "3", "y"]
    assert FLAGS.parse_known(arguments) == {"steps": 3}


def test_help_groups_settings_in_their_order():
    assert FLAGS.format_help().splitlines()[:18] == [
        "Does nothing.",
        "",
        "First:",
        "  --radius NUMBER in (0, 1]",
        "      Radius, 5% of it. Default: 0.333333.",
        "  --steps INTEGER >= 1, passes",
        "      Steps.",
        "",
        "Second:",
        "  --kind NAME",
        "      Kind. One of: a, b. Default: b.",
        "  --loud [true|false]",
        "      Loud. Default: false.",
        "  --mirrored [true|false]",
        "      Mirrored.",
        "  --import TEXT",
        "      A keyword.",
        "",
    ]
    assert "RUN" in Flags([Part(Folders)]).format_help()


def test_a_setting_of_several_parts_is_one_flag():
    flags = Flags([Part(Weak, "method=weak"), Part(Strong, "method=strong")])
    given = flags.parse(["--weight=1", "--power=2"])
    assert given == {"weight": 1.0, "power": 2}
    text = " ".join(flags.format_help().split())
    assert "Weight. Goes with method=weak, method=strong. Default: 0.5." in text
    assert "Power. Goes with method=strong. Default: 3." in text


def test_help_shows_defaults_that_follow_from_a_choice():
    text = Flags([Part(Settings)], "", {"radius": 0.25, "kind": "a"})
    shown = text.format_help()
    assert "5% of it. Default: 0.25." in shown
    assert "Kind. One of: a, b. Default: a." in shown
    assert "Loud. Default: false." in shown


def test_parts_of_another_choice_are_left_out():
    parts = [
        Part(Folders),
        Part(Weak, "method=weak"),
        Part(Strong, "method=strong"),
    ]
    assert fitting(parts, {}) == parts
    assert fitting(parts, {"other": "weak"}) == parts
    assert fitting(parts, {"method": "weak"}) == [Part(Folders), Part(Weak)]
    text = Flags(fitting(parts, {"method": "weak"})).format_help()
    assert "Weight. Default: 0.5." in text
    assert "Power" not in text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lengths:
    radius: float = setting(8 / 255, "R.", group="G", length=True, above=0)
    step: float = setting(0.1, "S.", group="G", length=True, above=0)


def test_lengths_are_shown_as_people_write_them():
    assert Flags([Part(Lengths)]).format_help().splitlines()[:5] == [
        "G:",
        "  --radius 8|8/255|0.03",
        "      R. Default: 8/255.",
        "  --step 8|8/255|0.03",
        "      S. Default: 0.1.",
    ]


def test_help_lists_what_a_table_holds_by_then():
    table = Registry("part")

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Choice:
        part: str = setting("", "Part.", group="G", choices=table)
        parts: str = setting("", "Parts.", group="G", names=table)

    @dataclasses.dataclass
    class Row:
        help: str

    table.add("first", Row("the first one"))
    table.add("second", Row(""))
    text = Flags([Part(Choice)]).format_help()
    assert "Part. One of: first (the first one), second." in text
    assert "Parts. Known: first (the first one), second." in text


def test_messages_name_flags():
    message = "`radius` goes with `import_`, `kind=b` and `other`, not `a b`."
    assert FLAGS.name_flags(message) == (
        "--radius goes with --import, --kind=b and `other`, not `a b`."
    )


@pytest.mark.parametrize("argument", ["--help", "-h", "-help", "--helpfull"])
def test_help_is_asked_for_in_these_ways(argument):
    assert asks_for_help(["--x", argument])
    assert not asks_for_help(["--x", argument.lstrip("-"), argument + "=1"])
