"""Users' modules, by name and by path."""

import sys

import pytest

from tfgan_robust.cli import importing
from tfgan_robust.cli.importing import import_modules
from tfgan_robust.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(importing, "IMPORTED", [])
    return tmp_path


def test_modules_are_imported_once_in_order(folder):
    (folder / "one_of_mine.py").write_text("import sys; sys.mine = [1]")
    (folder / "deep").mkdir()
    (folder / "deep" / "two_of_mine.py").write_text(
        "import sys; sys.mine.append(2)"
    )
    import_modules("one_of_mine,deep/two_of_mine.py")
    import_modules("deep/two_of_mine.py")
    assert sys.__dict__.pop("mine") == [1, 2]
    assert importing.IMPORTED[:2] == ["one_of_mine", "deep/two_of_mine.py"]
    assert sys.modules["two_of_mine"].__file__.endswith("two_of_mine.py")


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("absent_module", None, "No module named 'absent_module'"),
        ("absent.py", None, "absent.py: there is no such file"),
        ("", None, "Cannot import"),
        ("my_part.py", "import absent_too", "No module named 'absent_too'"),
        ("my_part", "1 / 0", "ZeroDivisionError: division by zero"),
        ("my_part.py", "def f(:", "my_part.py: SyntaxError"),
        ("my_part", "raise SystemExit('bye')", "SystemExit: bye"),
        ("my_part.py",
         "from tfgan_robust.errors import UsageError\n"
         "raise UsageError('There is one already.')",
         "my_part.py: There is one already."),
        ("json.py", "", "another module called json; rename"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_told(folder, name, source, message):
    if source is not None:
        (folder / f"{name.removesuffix('.py')}.py").write_text(source)
    with pytest.raises(UsageError, match=message) as error:
        import_modules(name)
    assert str(error.value).startswith(f"Cannot import {name}: ")
    assert importing.IMPORTED == []
    assert "my_part" not in sys.modules
