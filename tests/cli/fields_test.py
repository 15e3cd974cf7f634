"""Settings: text and JSON to values, and what no value may be."""

import dataclasses
import math

import pytest

from tfgan_robust import files
from tfgan_robust.cli import fields
from tfgan_robust.cli.fields import setting
from tfgan_robust.errors import UsageError, shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    heat: float = setting(0.5, "Heat.", group="Oven", above=0, maximum=1)
    salt: float = setting(0.0, "Salt.", group="Bowl", minimum=0)
    eggs: int = setting(2, "Eggs.", group="Bowl", minimum=1, maximum=12)
    guests: int | None = setting(None, "Guests.", group="Table", minimum=1)
    cake: str = setting(
        "plain", "Kind.", group="Bowl", choices=("plain", "marble")
    )
    note: str | None = setting(None, "Note.", group="Table")
    fan: bool = setting(False, "Fan.", group="Oven")


def test_numbers_are_decimals_or_fractions():
    texts = ("8/255", "-1/4", " 3 / 4 ", "0.5", "1e-3", "2")
    expected = [8 / 255, -0.25, 0.75, 0.5, 0.001, 2.0]
    assert [fields.parse_number(text) for text in texts] == expected


@pytest.mark.parametrize("text", ["", "/", "1/", "1/0", "1/2/3", "eps", "8%"])
def test_other_text_is_no_number(text):
    with pytest.raises(ValueError):
        fields.parse_number(text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("heat", "1/3", 1 / 3),
        ("eggs", "3", 3),
        ("guests", "none", None),
        ("guests", "4", 4),
        ("cake", "none", "none"),
        ("note", "None", None),
        ("fan", "TRUE", True),
        ("fan", "no", False),
    ],
)
def test_text_becomes_a_value_of_the_fields_type(name, text, expected):
    value = fields.parse_text(Recipe, name, text)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("heat", "hot", "fraction such as 8/255"),
        ("heat", "1/0", "fraction such as 8/255"),
        ("eggs", "2.5", "a whole number"),
        ("eggs", "none", "a whole number"),
        ("guests", "", "a whole number"),
        ("fan", "maybe", "true or false"),
    ],
)
def test_text_of_another_type_is_refused(name, text, wanted):
    with pytest.raises(UsageError, match=wanted) as error:
        fields.parse_text(Recipe, name, text)
    assert f"Received: {name}={text}." in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("heat", math.nan, "must be finite"),
        ("heat", math.inf, "must be finite"),
        ("salt", -math.inf, "must be finite"),
        ("heat", 0.0, "greater than 0"),
        ("heat", 1.01, "at most 1"),
        ("salt", -0.1, "at least 0"),
        ("eggs", 0, "at least 1"),
        ("eggs", 13, "at most 12"),
        ("guests", 0, "at least 1"),
        ("cake", "cheese", "one of plain, marble"),
        ("heat", 1, "a number"),
        ("heat", "0.5", "a number"),
        ("heat", None, "a number"),
        ("heat", True, "a number"),
        ("eggs", True, "a whole number"),
        ("eggs", 2.0, "a whole number"),
        ("eggs", None, "a whole number"),
        ("cake", None, "text"),
        ("note", 3, "text"),
        ("fan", 1, "true or false"),
        ("fan", None, "true or false"),
    ],
)
def test_values_outside_their_limits_are_refused(name, value, wanted):
    with pytest.raises(UsageError, match=wanted) as error:
        fields.check(Recipe(**{name: value}))
    assert f"`{name}` must be" in str(error.value)
    assert f"Received: {name}={value}." in str(error.value)


def test_limits_themselves_are_allowed():
    fields.check(Recipe(heat=1.0, salt=0.0, eggs=1, guests=1))
    fields.check(Recipe(heat=math.nextafter(0, 1), eggs=12, note="-"))


def test_empty_text_is_no_value():
    with pytest.raises(UsageError, match="must not be empty"):
        fields.check_values(Recipe, {"note": ""})


def test_only_the_given_names_are_checked():
    fields.check_values(Recipe, {"eggs": 3, "unheard of": None})


def test_whole_numbers_too_large_for_a_float_are_judged_like_others():
    with pytest.raises(UsageError, match="at most 12"):
        fields.check_values(Recipe, {"eggs": 10**400})


def test_json_values_come_to_the_fields_types():
    given = {"heat": 1, "salt": "1/8", "eggs": 3, "note": None}
    converted = fields.convert_mapping([Recipe], given)
    assert converted == {"heat": 1.0, "salt": 0.125, "eggs": 3, "note": None}
    assert type(converted["heat"]) is float


def test_json_does_not_turn_truth_into_numbers():
    converted = fields.convert_mapping([Recipe], {"heat": True})
    with pytest.raises(UsageError, match="`heat` must be a number"):
        fields.check_values(Recipe, converted)


def test_unknown_names_are_listed_beside_the_known():
    message = (
        "Unknown settings: milk, sugar. "
        "Known: heat, salt, eggs, guests, cake, note, fan."
    )
    with pytest.raises(UsageError, match=message):
        fields.convert_mapping([Recipe], {"sugar": 1, "eggs": 2, "milk": 3})


def test_json_objects_are_read(tmp_path):
    file = tmp_path / "settings.json"
    file.write_text('{"eggs": 3}')
    assert files.read_json_object(file) == {"eggs": 3}


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda file: file.write_bytes(b""), "not valid JSON"),
        (lambda file: file.write_bytes(b'{"eggs": 3,}'), "not valid JSON"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "not valid JSON"),
        (lambda file: file.write_bytes(b"[1, 2]"), "Received: a list"),
        (lambda file: file.write_bytes(b"null"), "Received: a NoneType"),
        (lambda file: None, "No such file"),
        (lambda file: file.mkdir(), "Is a directory"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, make, wanted):
    file = tmp_path / "settings.json"
    make(file)
    with pytest.raises(UsageError, match=wanted) as error:
        files.read_json_object(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("name", ["guests", "eggs", "salt", "heat"])
def test_numbers_that_are_too_long_are_refused_in_a_line(name, digits):
    with pytest.raises(UsageError) as error:
        value = fields.parse_text(Recipe, name, "9" * digits)
        fields.check_values(Recipe, {name: value})
    assert f"Received: {name}=" in str(error.value)
    assert len(str(error.value)) < 200


def test_whole_numbers_are_of_32_bits():
    fields.check_values(Recipe, {"guests": 2**31 - 1})
    with pytest.raises(UsageError, match="be at most 2147483647"):
        fields.check_values(Recipe, {"guests": 2**31})


def test_what_is_shown_of_a_value_is_its_beginning():
    assert shown("x" * 60) == "x" * 60
    assert shown("x" * 61) == "x" * 60 + "..."
    assert shown(10**5000) == "a number of thousands of digits"
